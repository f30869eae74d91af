"""What becomes of a run: the one policy of the operator on Kubernetes and of the runner on a laptop. Pure.

A run has attempts, one at a time. `plan` looks at what is known and says the one next step; who carries it out writes down
what happened and asks again. Times are in milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from headrace_core.errors import ExitCode
from headrace_core.pipeline_run import Retry, RunResult, RunSpec

__all__ = [
    "Admission",
    "AttemptRecord",
    "Evict",
    "FailureClass",
    "Finish",
    "Run",
    "RunState",
    "Start",
    "Step",
    "Stop",
    "StopReason",
    "Wait",
    "admit",
    "attempt_ended",
    "attempt_lost",
    "concurrency_key",
    "exit_code_of",
    "failure_class",
    "plan",
    "retry_pause_s",
    "run_name",
    "same_work",
]

RunState = Literal["Pending", "Running", "Succeeded", "Failed", "Cancelled"]
FailureClass = Literal["application", "infrastructure", "configuration", "data"]
"""Whose fault a failed attempt was. Only infrastructure is worth another one."""

StopReason = Literal["Cancelled", "DeadlineExceeded", "SchedulingDeadlineExceeded"]
"""Why a running attempt is asked to end."""

_SIGNALLED = 128
"""A shell's exit code of a process that signal N ended is 128 + N."""


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One attempt. ``exit_code`` is None where nobody saw how it ended; ``stopped`` says that it was asked to.

    ``why`` and ``fix`` tell people of a failed one what went wrong and what to do.
    ``waiting_since_ms``: since when it has no place to run, where it has none.
    """

    number: int
    started_ms: int
    ended_ms: int | None = None
    exit_code: int | None = None
    failure: FailureClass | None = None
    stopped: StopReason | None = None
    why: str | None = None
    fix: str | None = None
    waiting_since_ms: int | None = None

    @property
    def running(self) -> bool:
        """Whether its end was not seen yet."""
        return self.ended_ms is None


class Run(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run and its history. ``reason`` is one word for programs, ``message`` says it to people."""

    name: str
    spec: RunSpec
    created_ms: int
    attempts: tuple[AttemptRecord, ...] = ()
    state: RunState = "Pending"
    reason: str = ""
    message: str = ""
    ended_ms: int | None = None
    result: RunResult | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ("Succeeded", "Failed", "Cancelled")


@dataclass(frozen=True, slots=True)
class Start:
    """Start this attempt; nothing of the one before runs any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the running attempt to end."""

    reason: StopReason


@dataclass(frozen=True, slots=True)
class Evict:
    """Cancel these runs, which hold the key that this one replaces them at."""

    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before something changes, or until this time."""

    until_ms: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    state: Literal["Succeeded", "Failed", "Cancelled"]
    reason: str
    message: str


Step = Start | Stop | Evict | Wait | Finish
Admission = Literal["start", "wait", "evict", "refuse"]


def failure_class(exit_code: int | None) -> FailureClass:
    """Whose fault the end of an attempt was, by the exit code (docs/services/spark.md); None: it vanished."""
    if exit_code is None or exit_code < 0 or exit_code >= _SIGNALLED:
        return "infrastructure"
    classes: dict[int, FailureClass] = {
        ExitCode.USAGE: "configuration",
        ExitCode.CONFIGURATION: "configuration",
        ExitCode.BAD_DATA: "data",
        ExitCode.UNAVAILABLE: "infrastructure",
        ExitCode.RETRY_LATER: "infrastructure",
    }
    return classes.get(exit_code, "application")


def attempt_ended(
    run: Run,
    ended_ms: int,
    exit_code: int | None,
    *,
    why: str | None = None,
    fix: str | None = None,
    result: RunResult | None = None,
) -> Run:
    """The run once its last attempt has ended; it keeps an earlier result where this attempt left none."""
    ended = msgspec.structs.replace(
        run.attempts[-1],
        ended_ms=ended_ms,
        exit_code=exit_code,
        failure=None if exit_code == ExitCode.OK else failure_class(exit_code),
        why=why,
        fix=fix,
    )
    return msgspec.structs.replace(
        run, state="Pending", attempts=(*run.attempts[:-1], ended), result=result or run.result
    )


def attempt_lost(run: Run, now_ms: int, result: RunResult | None = None) -> Run:
    """The run where its last attempt runs by the record alone: it has ended with whoever looked after it."""
    run = msgspec.structs.replace(run, reason="DriverLost")
    return attempt_ended(run, now_ms, None, why="The process is gone, and nobody saw it end.", result=result)


def retry_pause_s(retry: Retry, failures: int) -> int:
    """The pause after so many failed attempts, in seconds, counted from the end of the last."""
    return min(retry.max_seconds, retry.initial_seconds * int(retry.factor ** (failures - 1)))


def concurrency_key(spec: RunSpec) -> str:
    """What only one run works on at a time: the spec's own key, else the job and its days."""
    return spec.concurrency_key or f"{spec.job}/{_days(spec) or 'all'}"


def run_name(spec: RunSpec, taken: Sequence[str] = ()) -> str:
    """The name of a run that was given none: job and days, and a number where runs before have had it."""
    name = "-".join(filter(None, (spec.job, _days(spec).replace("/", "-"))))
    number = 1
    while (numbered := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return numbered


def same_work(one: RunSpec, other: RunSpec) -> bool:
    """Whether two specs ask for the same, whatever stands in the fields that may change later."""
    changed = {"suspend": False, "cancel": False, "ttl_seconds_after_finished": 0}
    return bool(msgspec.structs.replace(one, **changed) == msgspec.structs.replace(other, **changed))


def admit(spec: RunSpec, holders: Sequence[str]) -> Admission:
    """Whether a run may begin while ``holders`` are active under its key."""
    if not holders:
        return "start"
    answers: dict[str, Admission] = {"Forbid": "refuse", "Queue": "wait", "Replace": "evict"}
    return answers[spec.concurrency_policy]


def plan(run: Run, now_ms: int, *, holders: Sequence[str] = ()) -> Step:
    """The next step. ``holders`` are other active runs with the same key that were there before this one."""
    if run.finished:
        return Wait(None)
    deadline_ms = None
    if run.attempts:
        deadline_ms = run.attempts[0].started_ms + run.spec.deadline_seconds * 1000
        if run.attempts[-1].running:
            return _while_running(run, deadline_ms, now_ms)
        if run.attempts[-1].exit_code == ExitCode.OK:
            return Finish("Succeeded", "DriverSucceeded", "")
    return _between(run, deadline_ms, now_ms, holders)


def _between(run: Run, deadline_ms: int | None, now_ms: int, holders: Sequence[str]) -> Step:
    """While nothing of the run runs."""
    if run.spec.cancel:
        return Finish("Cancelled", "Cancelled", "The run was cancelled.")
    if deadline_ms is not None and now_ms >= deadline_ms:
        seconds = run.spec.deadline_seconds
        message = f"deadlineSeconds: {seconds} s have passed since the first attempt began."
        return Finish("Failed", "DeadlineExceeded", message)
    if run.attempts and run.attempts[-1].stopped == "SchedulingDeadlineExceeded":
        return Finish(
            "Failed", "SchedulingDeadlineExceeded", run.attempts[-1].why or _found_no_place(run.spec)
        )
    if run.spec.suspend:
        return Wait(deadline_ms, "Suspended")
    return _after(run, run.attempts[-1], now_ms) if run.attempts else _first(run, now_ms, holders)


def _while_running(run: Run, deadline_ms: int, now_ms: int) -> Step:
    if run.spec.cancel:
        return Stop("Cancelled")
    if now_ms >= deadline_ms:
        return Stop("DeadlineExceeded")
    waiting_ms = run.attempts[-1].waiting_since_ms
    if waiting_ms is None:
        return Wait(deadline_ms)
    place_ms = waiting_ms + run.spec.scheduling_deadline_seconds * 1000
    return Stop("SchedulingDeadlineExceeded") if now_ms >= place_ms else Wait(min(deadline_ms, place_ms))


def _found_no_place(spec: RunSpec) -> str:
    return f"schedulingDeadlineSeconds: it found no place to run within {spec.scheduling_deadline_seconds} s."


def _first(run: Run, now_ms: int, holders: Sequence[str]) -> Step:
    """Before the first attempt. A key that others hold is waited for up to the scheduling deadline, from the creation on."""
    deadline_ms = run.created_ms + run.spec.scheduling_deadline_seconds * 1000
    admission = admit(run.spec, holders)
    if admission == "start":
        return Start(1)
    holding = f"{', '.join(holders)} works on {concurrency_key(run.spec)}."
    if admission == "refuse":
        return Finish("Failed", "ConcurrencyForbidden", holding)
    if now_ms >= deadline_ms:
        return Finish("Failed", "SchedulingDeadlineExceeded", _waited(run.spec, holding))
    return Wait(deadline_ms, "WaitingForKey") if admission == "wait" else Evict(tuple(holders))


def _waited(spec: RunSpec, holding: str) -> str:
    seconds = spec.scheduling_deadline_seconds
    return (
        f"schedulingDeadlineSeconds: {seconds} s have passed since the run was created, and still {holding} "
        "Fix: cancel that run, or wait for its end, and start this one anew; a longer deadline waits longer."
    )


def _after(run: Run, last: AttemptRecord, now_ms: int) -> Step:
    """After a failed attempt."""
    failure = last.failure or failure_class(last.exit_code)
    if failure != "infrastructure":
        reason = {"application": "DriverFailed", "configuration": "InvalidConfiguration", "data": "BadData"}[
            failure
        ]
        return Finish("Failed", reason, _told(last))
    failures = len(run.attempts)
    if failures > run.spec.retry.limit:
        message = f"{failures} attempts failed, the last one: {_told(last)}"
        return Finish("Failed", "BackoffLimitExceeded", message)
    retry_ms = (last.ended_ms or 0) + retry_pause_s(run.spec.retry, failures) * 1000
    return Start(last.number + 1) if now_ms >= retry_ms else Wait(retry_ms, "Backoff")


def _told(last: AttemptRecord) -> str:
    """Why an attempt failed, and what to do."""
    why = last.why or f"Attempt {last.number} ended with {last.exit_code}."
    return f"{why} Fix: {last.fix}" if last.fix else why


def exit_code_of(run: Run) -> int:
    """The exit code of whoever waited for a run to finish."""
    if run.state == "Succeeded":
        return ExitCode.OK
    if run.state == "Cancelled" or not run.attempts or run.reason == "DeadlineExceeded":
        return ExitCode.RETRY_LATER
    last = run.attempts[-1]
    if last.exit_code is not None and last.exit_code in set(ExitCode):
        return int(last.exit_code)
    codes: dict[FailureClass, ExitCode] = {
        "application": ExitCode.BUG,
        "infrastructure": ExitCode.UNAVAILABLE,
        "configuration": ExitCode.CONFIGURATION,
        "data": ExitCode.BAD_DATA,
    }
    return codes[last.failure or failure_class(last.exit_code)]


def _days(spec: RunSpec) -> str:
    if spec.date is not None:
        return spec.date
    return "" if spec.interval is None else f"{spec.interval.start}/{spec.interval.end}"
