"""What a run is stalled by: a state that lasts until people change something. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from headrace_operator.classification import cannot_start, cut
from headrace_operator.driver_objects import DRIVER_GRACE_S
from headrace_operator.observed import ObservedPod

__all__ = ["Stall", "stalled_by"]

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
        waiting = [pod for pod in executors if now_ms >= pod.created_ms + _SLOW_MS or cannot_start(pod)]
    for pod in sorted(waiting, key=lambda each: each.name):
        who = "The driver" if pod.role == "driver" else "Executors"
        if cannot_start(pod):
            return _stall(pod.waiting, f"{who} cannot start: {pod.waiting_message or pod.waiting}")
        if pod.unschedulable:
            return _stall(
                "Unschedulable", f"{who} cannot be scheduled: {pod.waiting_message or pod.unschedulable}"
            )
    return _stall("", "")


def _unreachable(driver: ObservedPod) -> Stall:
    return _stall(
        "DriverUnreachable",
        f"The driver {driver.name} was asked to end, and {DRIVER_GRACE_S} s later its node {driver.node} has not "
        "said that it did. Fix: bring the node back, or delete the node object once the machine is off.",
    )


def _stall(reason: str, message: str) -> Stall:
    return {"stalled": reason, "stalled_message": cut(message)}
