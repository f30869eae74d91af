"""What a run is stalled by: a state that lasts until people change something. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import msgspec

from headrace_core.run_status import AttemptStatus
from headrace_operator.classification import cut, never_starts
from headrace_operator.driver_objects import DRIVER_GRACE_S
from headrace_operator.observed import ObservedPod

__all__ = ["Stall", "no_place", "stalled_by"]

_UNREACHABLE_MS = 60_000
_SLOW_MS = 30_000


class Stall(TypedDict):
    """Reason and message; both are empty where nothing is wrong."""

    stalled: str
    stalled_message: str


def stalled_by(driver: ObservedPod, executors: Sequence[ObservedPod], now_ms: int) -> Stall:
    """What holds up a run whose driver is there. ``executors`` are those of its attempt that are not over."""
    if driver.deletion_ms is not None and not driver.over:
        # deletionTimestamp is the end of the grace period.
        if now_ms >= driver.deletion_ms + _UNREACHABLE_MS:
            return _unreachable(driver)
        return _stall("", "")
    waiting: list[ObservedPod] = []
    if driver.running_ms is None:
        waiting = [driver]
    elif all(pod.running_ms is None for pod in executors):
        waiting = [
            pod for pod in executors if now_ms >= pod.created_ms + _SLOW_MS or never_starts(pod.waiting)
        ]
    for pod in sorted(waiting, key=lambda each: each.name):
        who = "The driver" if pod.role == "driver" else "Executors"
        if never_starts(pod.waiting):
            return _stall(pod.waiting, f"{who} cannot start: {pod.waiting_message or pod.waiting}")
        if pod.unschedulable:
            return _stall(
                "Unschedulable", f"{who} cannot be scheduled: {pod.waiting_message or pod.unschedulable}"
            )
    return _stall("", "")


def no_place(attempt: AttemptStatus, stall: Stall) -> AttemptStatus:
    """An attempt that is stopped for want of a place, with what it lacked: an image or an object is configuration."""
    lacked = stall["stalled_message"] or "Nobody said what it lacked."
    return msgspec.structs.replace(
        attempt,
        failure="configuration" if never_starts(stall["stalled"]) else "infrastructure",
        message=cut(f"It found no place to run within schedulingDeadlineSeconds. {lacked}"),
    )


def _unreachable(driver: ObservedPod) -> Stall:
    return _stall(
        "DriverUnreachable",
        f"The driver {driver.name} was asked to end, and {DRIVER_GRACE_S} s later its node {driver.node} has not "
        "said that it did. Fix: bring the node back, or delete the node object once the machine is off.",
    )


def _stall(reason: str, message: str) -> Stall:
    return {"stalled": reason, "stalled_message": cut(message)}
