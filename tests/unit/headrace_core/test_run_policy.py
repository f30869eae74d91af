"""What becomes of a run: retries, deadlines, cancellation and keys, also under histories that nobody thought of."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.errors import ExitCode
from headrace_core.pipeline_run import Interval, Retry, RunSpec
from headrace_core.run_policy import (
    AttemptRecord,
    Evict,
    FailureClass,
    Finish,
    Run,
    Start,
    Stop,
    Wait,
    admit,
    concurrency_key,
    exit_code_of,
    failure_class,
    plan,
    retry_pause_s,
    run_name,
    same_work,
)

SPEC = RunSpec(job="daily", date="2026-11-28", deadline_seconds=3_600)
T0 = 1_000_000


def run(*attempts: AttemptRecord, spec: RunSpec = SPEC, **more: object) -> Run:
    return msgspec.structs.replace(Run(name="r", spec=spec, created_ms=T0, attempts=attempts), **more)


def ended(number: int = 1, code: int | None = 69, at_ms: int = T0 + 10_000) -> AttemptRecord:
    return AttemptRecord(number=number, started_ms=T0, ended_ms=at_ms, exit_code=code)


RUNNING = AttemptRecord(number=1, started_ms=T0)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (64, "configuration"),
        (65, "data"),
        (69, "infrastructure"),
        (70, "application"),
        (75, "infrastructure"),
        (78, "configuration"),
        (1, "application"),
        (137, "infrastructure"),
        (143, "infrastructure"),
        (-9, "infrastructure"),
        (None, "infrastructure"),
    ],
)
def test_the_exit_code_says_whose_fault_it_was(code: int | None, failure: FailureClass) -> None:
    assert failure_class(code) == failure


def test_pauses_grow_up_to_the_most() -> None:
    retry = Retry(limit=10, initial_seconds=30, factor=2, max_seconds=100)
    assert [retry_pause_s(retry, failures) for failures in (1, 2, 3, 9)] == [30, 60, 100, 100]


def test_a_new_run_starts_its_first_attempt() -> None:
    assert plan(run(), T0) == Start(1)


def test_success_ends_it() -> None:
    assert plan(run(ended(code=0)), T0) == Finish("Succeeded", "DriverSucceeded", "")


def test_a_retry_waits_from_the_end_of_the_attempt() -> None:
    failed = run(ended(at_ms=T0 + 500_000))
    assert plan(failed, T0 + 529_999) == Wait(T0 + 530_000, "Backoff")
    assert plan(failed, T0 + 530_000) == Start(2)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(64, "InvalidConfiguration"), (65, "BadData"), (70, "DriverFailed"), (78, "InvalidConfiguration")],
)
def test_what_a_retry_cannot_mend_is_not_retried(code: int, reason: str) -> None:
    step = plan(run(ended(code=code)), T0 + 10**9)
    assert isinstance(step, Finish)
    assert step.state == "Failed"
    fresh = plan(run(ended(code=code)), T0 + 10_000)
    assert isinstance(fresh, Finish)
    assert fresh.reason == reason


def test_after_the_limit_it_has_failed() -> None:
    attempts = [ended(number) for number in (1, 2, 3)]
    assert isinstance(plan(run(*attempts[:2]), T0 + 1_000_000), Start)
    step = plan(run(*attempts), T0 + 1_000_000)
    assert isinstance(step, Finish)
    assert (step.state, step.reason) == ("Failed", "BackoffLimitExceeded")


def test_the_deadline_is_of_all_attempts_together() -> None:
    late = T0 + 3_600_000
    assert plan(run(RUNNING), late - 1) == Wait(late)
    assert plan(run(RUNNING), late) == Stop("DeadlineExceeded")
    step = plan(run(ended(at_ms=late)), late)
    assert isinstance(step, Finish)
    assert step.reason == "DeadlineExceeded"
    assert plan(run(ended(code=0, at_ms=late)), late) == Finish("Succeeded", "DriverSucceeded", "")


def test_a_cancelled_run_stops_and_is_cancelled() -> None:
    spec = msgspec.structs.replace(SPEC, cancel=True)
    assert plan(run(RUNNING, spec=spec), T0) == Stop("Cancelled")
    for attempts in ((), (ended(code=75),)):
        step = plan(run(*attempts, spec=spec), T0)
        assert isinstance(step, Finish)
        assert step.state == "Cancelled"
    # What was done before the wish was heard stays done.
    assert plan(run(ended(code=0), spec=spec), T0) == Finish("Succeeded", "DriverSucceeded", "")


def test_a_suspended_run_begins_no_attempt() -> None:
    spec = msgspec.structs.replace(SPEC, suspend=True)
    assert plan(run(spec=spec), T0) == Wait(None, "Suspended")
    assert plan(run(RUNNING, spec=spec), T0) == Wait(T0 + 3_600_000)


@pytest.mark.parametrize(
    ("policy", "step"),
    [("Queue", Wait(T0 + 900_000, "WaitingForKey")), ("Replace", Evict(("other",)))],
)
def test_the_key_is_one_runs(policy: str, step: object) -> None:
    spec = msgspec.convert({"job": "daily", "date": "2026-11-28", "concurrencyPolicy": policy}, RunSpec)
    assert plan(run(spec=spec), T0, holders=["other"]) == step
    assert plan(run(spec=spec), T0) == Start(1)
    assert plan(run(RUNNING, spec=spec), T0, holders=["other"]) == Wait(T0 + 21_600_000)


@pytest.mark.parametrize("policy", ["Queue", "Replace"])
def test_a_key_that_is_held_for_ever_is_not_waited_for_for_ever(policy: str) -> None:
    document = {
        "job": "daily",
        "date": "2026-11-28",
        "concurrencyPolicy": policy,
        "schedulingDeadlineSeconds": 60,
    }
    waiting = run(spec=msgspec.convert(document, RunSpec))
    assert not isinstance(plan(waiting, T0 + 59_999, holders=["other"]), Finish)
    step = plan(waiting, T0 + 60_000, holders=["other"])
    assert isinstance(step, Finish)
    assert (step.state, step.reason) == ("Failed", "SchedulingDeadlineExceeded")
    assert "other works on daily/2026-11-28" in step.message
    assert plan(waiting, T0 + 60_000) == Start(1)


def test_forbid_refuses() -> None:
    assert admit(SPEC, ["other"]) == "refuse"
    step = plan(run(), T0, holders=["other"])
    assert isinstance(step, Finish)
    assert (step.state, step.reason) == ("Failed", "ConcurrencyForbidden")


def test_keys_and_names_follow_from_the_spec() -> None:
    interval = RunSpec(job="export", interval=Interval(start="2026-11-01", end="2026-12-01"))
    assert concurrency_key(SPEC) == "daily/2026-11-28"
    assert concurrency_key(RunSpec(job="retention")) == "retention/all"
    assert concurrency_key(RunSpec(job="daily", concurrency_key="mine")) == "mine"
    assert run_name(SPEC) == "daily-2026-11-28"
    assert run_name(SPEC, ["daily-2026-11-28", "daily-2026-11-28-2"]) == "daily-2026-11-28-3"
    assert run_name(interval) == "export-2026-11-01-2026-12-01"
    assert run_name(RunSpec(job="retention")) == "retention"


def test_the_same_work_is_told_from_other_work() -> None:
    assert same_work(
        SPEC, msgspec.structs.replace(SPEC, cancel=True, suspend=True, ttl_seconds_after_finished=5)
    )
    assert not same_work(SPEC, msgspec.structs.replace(SPEC, date="2026-11-29"))
    assert not same_work(SPEC, msgspec.structs.replace(SPEC, dry_run=True))


@pytest.mark.parametrize(
    ("finished", "code"),
    [
        (run(ended(code=0), state="Succeeded"), 0),
        (run(ended(code=65), state="Failed", reason="BadData"), 65),
        (run(ended(code=None), state="Failed", reason="BackoffLimitExceeded"), 69),
        (run(ended(code=1), state="Failed", reason="DriverFailed"), 70),
        (run(ended(code=143), state="Failed", reason="DeadlineExceeded"), 75),
        (run(ended(code=75), state="Cancelled"), 75),
        (run(state="Failed", reason="ConcurrencyForbidden"), 75),
        (run(state="Failed", reason="SchedulingDeadlineExceeded"), 75),
    ],
)
def test_the_exit_code_of_who_waited(finished: Run, code: int) -> None:
    assert exit_code_of(finished) == code


codes = st.none() | st.sampled_from([0, 1, 64, 65, 69, 70, 75, 78, 137, -9])


@given(
    ends=st.lists(st.tuples(codes, st.integers(0, 2_000_000)), max_size=6),
    cancelled=st.booleans(),
    now_s=st.integers(0, 10_000),
)
def test_any_history_leads_to_one_step_that_makes_sense(
    ends: list[tuple[int | None, int]], cancelled: bool, now_s: int
) -> None:
    attempts = [ended(number, code, T0 + at_ms) for number, (code, at_ms) in enumerate(ends, 1)]
    now_ms = T0 + now_s * 1000
    spec = msgspec.structs.replace(SPEC, cancel=cancelled)
    step = plan(run(*attempts, spec=spec), now_ms)
    if isinstance(step, Start):
        assert step.number == len(attempts) + 1 <= SPEC.retry.limit + 1
        assert not cancelled
        assert all(attempt.exit_code != ExitCode.OK for attempt in attempts[-1:])
    if isinstance(step, Wait):
        assert step.until_ms is not None
        assert step.until_ms > now_ms
    assert not isinstance(step, (Stop, Evict))
    if isinstance(step, Finish):
        done = run(*attempts, spec=spec, state=step.state, reason=step.reason, ended_ms=now_ms)
        assert plan(done, now_ms + 1) == Wait(None)
        assert (exit_code_of(done) == 0) == (step.state == "Succeeded")
