"""The status of a run from what was decided: conditions, counts, and the Events that tell of the difference. Pure.

A status that says the same as before is the same, to the byte: nothing is written then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from headrace_core.instants import instant_text
from headrace_core.run_status import (
    AttemptStatus,
    Condition,
    ConditionStatus,
    ConditionType,
    ExecutorCounts,
    RunStatus,
)
from headrace_operator.actions import EmitEvent
from headrace_operator.classification import cut
from headrace_operator.observed import ObservedPod

__all__ = ["Verdict", "count_executors", "events_between", "with_conditions"]

_SLOW_MS = 30_000
"""Executors that wait no longer than this are about to run: no status is written for each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be said of a run: Succeeded with reason and message, and what it is stalled by, if it is."""

    succeeded: ConditionStatus
    reason: str
    message: str = ""
    stalled: str = ""
    stalled_message: str = ""


def with_conditions(status: RunStatus, verdict: Verdict, generation: int, now_ms: int) -> RunStatus:
    """The status with its three conditions; times change where a condition's status does."""
    active = verdict.succeeded == "Unknown"
    stalled: ConditionStatus = "True" if verdict.stalled else "False"
    reconciling: ConditionStatus = "True" if active else "False"
    stamp = _Stamp(status, generation, instant_text(now_ms))
    conditions = (
        stamp.condition("Succeeded", verdict.succeeded, verdict.reason, verdict.message),
        stamp.condition("Reconciling", reconciling, verdict.reason if active else "Finished"),
        stamp.condition("Stalled", stalled, verdict.stalled or "NotStalled", verdict.stalled_message),
    )
    return msgspec.structs.replace(status, observed_generation=generation, conditions=conditions)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Makes conditions; one whose status stays as it was keeps its time."""

    before: RunStatus
    generation: int
    now: str

    def condition(
        self, kind: ConditionType, value: ConditionStatus, reason: str, message: str = ""
    ) -> Condition:
        known = self.before.condition(kind)
        same = known is not None and known.status == value
        return Condition(
            type=kind,
            status=value,
            reason=reason[:64],
            message=cut(message),
            last_transition_time=known.last_transition_time if known is not None and same else self.now,
            observed_generation=self.generation,
        )


def count_executors(
    before: ExecutorCounts | None, executors: Sequence[ObservedPod], requested: int, now_ms: int
) -> tuple[ExecutorCounts, int | None]:
    """Executors of the running attempt, and when to count again.

    While they are about to start the counts stay as they were: a run's start takes one write, not one per executor.
    """
    running = sum(pod.running_ms is not None for pod in executors)
    waiting = [pod for pod in executors if pod.running_ms is None]
    counts = ExecutorCounts(requested=requested, running=running, pending=len(waiting))
    if not waiting and running >= requested:
        return counts, None
    slow_ms = min((pod.created_ms for pod in waiting), default=now_ms) + _SLOW_MS
    if waiting and now_ms >= slow_ms:
        return counts, None
    calm = before or ExecutorCounts(requested=requested)
    return msgspec.structs.replace(calm, requested=requested), slow_ms if waiting else None


def events_between(before: RunStatus, after: RunStatus) -> tuple[EmitEvent, ...]:
    """What happened between two statuses, for people who describe the run."""
    events = [event for attempt in after.attempts for event in _attempt_events(before, attempt)]
    events += _stalled_events(before, after)
    succeeded = after.condition("Succeeded")
    if succeeded is not None and after.finished and not before.finished:
        good = succeeded.status == "True"
        reason = (
            "RunSucceeded" if good else "RunCancelled" if succeeded.reason == "Cancelled" else "RunFailed"
        )
        text = succeeded.message or succeeded.reason
        events.append(
            EmitEvent("Warning" if reason == "RunFailed" else "Normal", reason, _said(succeeded.reason, text))
        )
    return tuple(events)


def _attempt_events(before: RunStatus, attempt: AttemptStatus) -> list[EmitEvent]:
    known = next((each for each in before.attempts if each.number == attempt.number), None)
    events = []
    if known is None:
        events.append(EmitEvent("Normal", "AttemptStarted", f"Attempt {attempt.number} begins."))
    if attempt.stopped is not None and (known is None or known.stopped is None):
        events.append(
            EmitEvent(
                "Normal", "AttemptStopped", f"Attempt {attempt.number} is asked to end: {attempt.stopped}."
            )
        )
    ended = attempt.end_time is not None and (known is None or known.end_time is None)
    if ended and attempt.exit_code != 0 and attempt.stopped is None:
        text = _said(f"Attempt {attempt.number}: {attempt.reason}", attempt.message)
        events.append(EmitEvent("Warning", "AttemptFailed", text))
    return events


def _stalled_events(before: RunStatus, after: RunStatus) -> list[EmitEvent]:
    was, now = before.condition("Stalled"), after.condition("Stalled")
    if now is None or now.status != "True" or (was is not None and was.reason == now.reason):
        return []
    return [EmitEvent("Warning", now.reason, now.message or now.reason)]


def _said(what: str, text: str) -> str:
    return cut(what if text in ("", what) else f"{what}: {text}")
