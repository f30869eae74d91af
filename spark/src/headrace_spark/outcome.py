"""How a run ends: its result, from what the job returned or how it failed, and the part that a pod's message can hold.

Pure: times and names come as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from headrace_core.errors import ExitCode, HeadraceError
from headrace_core.pipeline_run import DayResult, JobName, RunError, RunResult, Stage, encode_run

__all__ = [
    "TERMINATION_BYTES",
    "Attempt",
    "JobOutcome",
    "failed",
    "gravest",
    "succeeded",
    "termination_message",
    "totals",
]

TERMINATION_BYTES = 4_000
"""Kubernetes keeps 4,096 bytes of a message."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What a job that reached its end did: its days in order, counts over all of them, and reports about the whole."""

    days: tuple[DayResult, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    reports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt of which run this is, and when it began."""

    run: str
    attempt: int
    job: JobName
    dry_run: bool
    started_ms: int


def succeeded(attempt: Attempt, outcome: JobOutcome, stages: Sequence[Stage], *, ended_ms: int) -> RunResult:
    """The result of a job that reached its end."""
    return RunResult(
        run=attempt.run,
        attempt=attempt.attempt,
        job=attempt.job,
        outcome="succeeded",
        dry_run=attempt.dry_run,
        days=outcome.days,
        counts=outcome.counts,
        reports=outcome.reports,
        stages=tuple(stages),
        started_ms=attempt.started_ms,
        ended_ms=ended_ms,
    )


def failed(
    attempt: Attempt,
    error: BaseException,
    days: Sequence[DayResult],
    stages: Sequence[Stage],
    *,
    ended_ms: int,
) -> RunResult:
    """The result of a job that did not; ``days`` are those that it had finished by then."""
    cause = gravest(error)
    return RunResult(
        run=attempt.run,
        attempt=attempt.attempt,
        job=attempt.job,
        outcome="failed",
        exit_code=cause.exit_code if isinstance(cause, HeadraceError) else ExitCode.BUG,
        dry_run=attempt.dry_run,
        days=tuple(days),
        stages=tuple(stages),
        error=_run_error(cause),
        started_ms=attempt.started_ms,
        ended_ms=ended_ms,
    )


def gravest(error: BaseException) -> BaseException:
    """The error that decides: of a group a defect, else wrong settings, else bad data, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [gravest(each) for each in error.exceptions]
    order = (ExitCode.BUG, ExitCode.CONFIGURATION, ExitCode.BAD_DATA)
    for code in order:
        for each in inner:
            if (each.exit_code if isinstance(each, HeadraceError) else ExitCode.BUG) == code:
                return each
    return inner[0]


def totals(days: Sequence[DayResult]) -> dict[str, int]:
    """How many days there are, how many were swapped, and the sums of their counts."""
    sums = {"days": len(days), "days_swapped": sum(day.outcome == "swapped" for day in days)}
    for day in days:
        for name, count in day.counts.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def termination_message(result: RunResult, limit: int = TERMINATION_BYTES) -> bytes:
    """The result as JSON in at most ``limit`` bytes: without its stages, then with ever fewer days, then with texts cut."""
    if len(message := encode_run(result)) <= limit:
        return message
    result = msgspec.structs.replace(result, stages=())
    while len(message := encode_run(result)) > limit and result.days:
        result = msgspec.structs.replace(result, days=result.days[: len(result.days) // 2])
    if len(message) > limit:
        result = msgspec.structs.replace(result, counts={})
    room = limit
    while len(message := encode_run(result)) > limit and room:
        room //= 2
        result = msgspec.structs.replace(result, error=_cut(result.error, room))
    return message


def _run_error(error: BaseException) -> RunError:
    if isinstance(error, HeadraceError):
        return RunError(what=error.what, why=error.why or None, fix=error.fix or None, code=error.code)
    return RunError(
        what="The job stopped on an unexpected error.",
        why=f"{type(error).__name__}: {error}",
        fix="This is a defect: report it with the log of the run.",
        code="bug",
    )


def _cut(error: RunError | None, most: int) -> RunError | None:
    if error is None:
        return None
    return RunError(
        what=error.what[:most],
        why=error.why and error.why[:most],
        fix=error.fix and error.fix[:most],
        code=error.code,
    )
