"""Results say how a run ended, and fit into a termination message."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.errors import BadData, ConfigurationError, ExitCode, RetryLater, Unavailable
from headrace_core.pipeline_run import DayResult, RunError, RunResult, Stage
from headrace_spark.outcome import Attempt, JobOutcome, failed, gravest, succeeded, termination_message

ATTEMPT = Attempt("export-1", 2, "export", dry_run=False, started_ms=1_000)
DAY = DayResult(event_date="2026-11-28", outcome="unchanged")


def test_a_job_that_ended_well() -> None:
    stage = Stage(name="read", seconds=1.5)
    result = succeeded(ATTEMPT, JobOutcome((DAY,), {"rows": 3}), [stage], ended_ms=2_000)
    assert (result.outcome, result.exit_code, result.days, result.counts) == (
        "succeeded",
        0,
        (DAY,),
        {"rows": 3},
    )
    assert (result.run, result.attempt, result.stages, result.started_ms, result.ended_ms) == (
        "export-1",
        2,
        (stage,),
        1_000,
        2_000,
    )
    assert result.error is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadData("torn"), ExitCode.BAD_DATA),
        (Unavailable("away"), ExitCode.UNAVAILABLE),
        (RetryLater("lost"), ExitCode.RETRY_LATER),
        (ConfigurationError("wrong"), ExitCode.CONFIGURATION),
        (KeyError("x"), ExitCode.BUG),
        (ExceptionGroup("g", [Unavailable("away"), BadData("torn")]), ExitCode.BAD_DATA),
        (ExceptionGroup("g", [Unavailable("away"), ExceptionGroup("h", [ValueError()])]), ExitCode.BUG),
        (ExceptionGroup("g", [Unavailable("one"), RetryLater("two")]), ExitCode.UNAVAILABLE),
    ],
)
def test_the_error_decides_the_exit_code(error: Exception, code: ExitCode) -> None:
    result = failed(ATTEMPT, error, [DAY], [], ended_ms=2_000)
    assert (result.outcome, result.exit_code, result.days) == ("failed", code, (DAY,))
    assert result.error is not None
    assert getattr(gravest(error), "exit_code", ExitCode.BUG) == code


def test_an_error_keeps_its_words() -> None:
    error = Unavailable("Kafka is away.", why="No answer.", fix="Start it.", code="kafka_unavailable")
    assert failed(ATTEMPT, error, [], [], ended_ms=1).error == RunError(
        what="Kafka is away.", why="No answer.", fix="Start it.", code="kafka_unavailable"
    )


texts = st.text(max_size=3_000)
results = st.builds(
    RunResult,
    run=st.just("r"),
    attempt=st.integers(1, 9),
    job=st.just("daily"),
    outcome=st.just("failed"),
    days=st.integers(0, 62).map(
        lambda n: tuple(DayResult(event_date="2026-11-28", outcome="swapped") for _ in range(n))
    ),
    counts=st.dictionaries(st.text(max_size=20), st.integers(0, 2**40), max_size=100),
    stages=st.integers(0, 100).map(lambda n: tuple(Stage(name=f"stage {at}", seconds=at) for at in range(n))),
    error=st.none() | st.builds(RunError, what=texts, why=st.none() | texts, fix=st.none() | texts),
    started_ms=st.just(1),
    ended_ms=st.just(2),
)


@given(results)
def test_a_message_always_fits_and_is_a_result(result: RunResult) -> None:
    message = termination_message(result)
    assert len(message) <= 4_000
    kept = msgspec.json.decode(message, type=RunResult)
    assert (kept.run, kept.attempt, kept.outcome) == (result.run, result.attempt, result.outcome)
    assert kept.days == result.days[: len(kept.days)]
    assert kept.stages in ((), result.stages)
    if kept.stages and result.stages:
        assert kept == result


def test_stages_go_before_days_and_days_before_texts() -> None:
    stages = tuple(Stage(name=f"stage {at}", seconds=at) for at in range(100))
    error = RunError(what="w" * 100, why="y" * 2_000)
    result = RunResult(
        run="r",
        attempt=1,
        job="daily",
        outcome="failed",
        days=(DAY,),
        stages=stages,
        error=error,
        started_ms=1,
        ended_ms=2,
    )
    kept = msgspec.json.decode(termination_message(result), type=RunResult)
    assert (kept.stages, kept.days, kept.error) == ((), (DAY,), error)
    many = msgspec.structs.replace(result, days=(DAY,) * 62)
    kept = msgspec.json.decode(termination_message(many), type=RunResult)
    assert 0 < len(kept.days) < 62
    assert kept.error == error
