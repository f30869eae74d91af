"""Folds what is seen of pods into the attempts of a run. Pure.

What is absent means nothing unless the pods were listed at the API server itself: an index may lag behind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from headrace_core.instants import instant_text, read_instant
from headrace_core.run_policy import AttemptRecord
from headrace_core.run_status import AttemptStatus, ResultDay, ResultStatus
from headrace_operator.actions import Facts
from headrace_operator.classification import Ending, cut, ending_of, lost_ending
from headrace_operator.names import driver_name
from headrace_operator.observed import ObservedPod, ObservedRun

__all__ = ["Pods", "end_attempt", "fold", "pods_of", "record_of", "result_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """Pods of a run: its drivers by attempt, its executors, and what a namesake before it has left."""

    drivers: dict[int, ObservedPod]
    executors: tuple[ObservedPod, ...]
    foreign: tuple[ObservedPod, ...]

    def of(self, attempt: int) -> tuple[ObservedPod, ...]:
        """Executors of an attempt that are not over."""
        return tuple(pod for pod in self.executors if pod.attempt == attempt and not pod.over)


def pods_of(run: ObservedRun, pods: Sequence[ObservedPod]) -> Pods:
    """The pods sorted. A driver is the run's where the run's uid is its controller's."""
    mine = [pod for pod in pods if pod.run == run.name and pod.run_uid == run.uid]
    drivers = {
        pod.attempt: pod
        for pod in mine
        if pod.role == "driver"
        and pod.owner_uid == run.uid
        and pod.name == driver_name(run.name, pod.attempt)
    }
    return Pods(
        drivers=drivers,
        executors=tuple(pod for pod in mine if pod.role == "executor"),
        foreign=tuple(pod for pod in pods if pod.run == run.name and pod.run_uid != run.uid),
    )


def fold(
    attempt: AttemptStatus, driver: ObservedPod | None, facts: Facts, now_ms: int
) -> tuple[AttemptStatus, Ending | None]:
    """An attempt without an end, as the pods show it, and how it ended if it did.

    An absent driver ends it only where it had been there, or is not to come any more, and the pods are live.
    """
    if driver is None:
        if not facts.pods_live:
            return attempt, None
        if attempt.driver_uid:
            return end_attempt(attempt, lost_ending(now_ms, attempt.driver_pod))
        if attempt.stopped is not None:
            ending = Ending(
                exit_code=None,
                failure=None,
                reason=attempt.stopped,
                message="No driver was started.",
                ended_ms=now_ms,
            )
            return end_attempt(attempt, ending)
        return attempt, None
    seen = msgspec.structs.replace(attempt, driver_pod=driver.name, driver_uid=driver.uid)
    if seen.running_time is None and driver.running_ms is not None:
        seen = msgspec.structs.replace(seen, running_time=instant_text(driver.running_ms))
    if not driver.over:
        return seen, None
    ending = ending_of(driver, seen.stopped, now_ms)
    if seen.message and ending.exit_code != 0:  # what it was stopped for was written down then
        ending = dataclasses.replace(ending, failure=seen.failure, message=seen.message)
    return end_attempt(seen, ending)


def end_attempt(attempt: AttemptStatus, ending: Ending) -> tuple[AttemptStatus, Ending]:
    """The attempt with its end."""
    start_ms = read_instant(attempt.start_time) or 0
    ended = msgspec.structs.replace(
        attempt,
        end_time=instant_text(max(start_ms, ending.ended_ms)),
        exit_code=ending.exit_code,
        failure=ending.failure,
        reason=ending.reason[:64],
        message=cut(ending.message),
    )
    return ended, ending


def record_of(
    attempt: AttemptStatus, driver: ObservedPod | None, executors: Sequence[ObservedPod]
) -> AttemptRecord:
    """The attempt as the policy knows it. ``executors`` are those of it that are not over."""
    start_ms = read_instant(attempt.start_time) or 0
    waiting_ms = None
    if attempt.end_time is None:
        if driver is None or driver.running_ms is None:
            waiting_ms = start_ms if attempt.running_time is None else None
        elif executors and all(pod.running_ms is None for pod in executors):
            # Executors that are replaced are created anew: the last that came tells since when none of them has run.
            waiting_ms = max(pod.created_ms for pod in executors)
    return AttemptRecord(
        number=attempt.number,
        started_ms=start_ms,
        ended_ms=read_instant(attempt.end_time),
        exit_code=attempt.exit_code,
        failure=attempt.failure,
        stopped=attempt.stopped,
        why=attempt.message or None,
        waiting_since_ms=waiting_ms,
    )


def result_of(ending: Ending | None) -> ResultStatus | None:
    """Counts and pointers of the driver's own result; None where it left none."""
    if ending is None or ending.result is None:
        return None
    result = ending.result
    days = tuple(
        ResultDay(
            date=day.event_date,
            outcome=day.outcome,
            generation=(day.generation or "")[:128],
            sequence=day.sequence,
        )
        for day in result.days[:62]
    )
    counts = dict(sorted(result.counts.items())[:64])
    return ResultStatus(counts=counts, days=days)
