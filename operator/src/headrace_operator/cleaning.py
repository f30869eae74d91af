"""What is taken away: executors of attempts that are over, finalizers, drivers that nobody waits for, runs past their time.

Pure. A driver's finalizer says that its attempt is not cleaned up yet: it goes last, once the end stands in the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace_core.instants import read_instant
from headrace_core.run_status import AttemptStatus
from headrace_operator.actions import (
    Action,
    DeleteDriver,
    DeleteRun,
    Plan,
    RemoveDriverFinalizer,
    SweepExecutors,
)
from headrace_operator.driver_objects import DRIVER_GRACE_S
from headrace_operator.folding import Pods
from headrace_operator.names import DRIVER_FINALIZER, executor_selector
from headrace_operator.observed import ObservedPod, ObservedRun

__all__ = ["clean", "expire", "plan_orphans", "release"]

_DEFAULT_TTL_S = 604_800


def clean(run_uid: str, attempts: Sequence[AttemptStatus], pods: Pods) -> tuple[Action, ...]:
    """What is left to do about pods. ``attempts`` are those of the status that is written before any of it."""
    actions: list[Action] = []
    for attempt in attempts:
        driver = pods.drivers.get(attempt.number)
        if attempt.end_time is not None:
            actions += _after_attempt(run_uid, attempt.number, driver, pods.executors)
        elif attempt.stopped is not None and driver is not None:
            actions += _delete(driver)
    return tuple(actions)


def _after_attempt(
    run_uid: str, number: int, driver: ObservedPod | None, executors: Sequence[ObservedPod]
) -> list[Action]:
    """Executors first, whatever the driver did; then the finalizer. A driver that came late is stopped."""
    held = driver is not None and DRIVER_FINALIZER in driver.finalizers
    left = [pod for pod in executors if pod.attempt == number and pod.deletion_ms is None]
    if driver is not None and not driver.over:
        return _delete(driver)
    actions: list[Action] = []
    if left or held:
        actions.append(SweepExecutors(executor_selector(run_uid, number)))
    if driver is not None and held:
        actions.append(_remove_finalizer(driver))
    return actions


def _delete(driver: ObservedPod) -> list[Action]:
    """SIGTERM, once: a pod that is being deleted is not deleted again."""
    return [] if driver.deletion_ms is not None else [DeleteDriver(driver.name, driver.uid, DRIVER_GRACE_S)]


def release(pods: Iterable[ObservedPod]) -> tuple[Action, ...]:
    """Let pods go that are being deleted while nobody will ask for their end any more."""
    return tuple(
        _remove_finalizer(pod)
        for pod in pods
        if pod.role == "driver" and pod.deletion_ms is not None and DRIVER_FINALIZER in pod.finalizers
    )


def plan_orphans(pods: Sequence[ObservedPod]) -> Plan:
    """What to do about pods whose run is gone: the garbage collector deletes them, and their finalizer would hold them."""
    return Plan(release(pods))


def expire(run: ObservedRun, now_ms: int) -> Plan:
    """Delete a run whose time is over; before that, nothing but to look again then."""
    ttl_s = _DEFAULT_TTL_S if run.spec is None else run.spec.ttl_seconds_after_finished
    completed_ms = read_instant(run.status.completion_time)
    if completed_ms is None:
        return Plan()
    expiry_ms = completed_ms + ttl_s * 1000
    if now_ms < expiry_ms:
        return Plan(requeue_at_ms=expiry_ms)
    return Plan((DeleteRun(run.uid, run.resource_version),), now_ms + 60_000)


def _remove_finalizer(driver: ObservedPod) -> RemoveDriverFinalizer:
    return RemoveDriverFinalizer(
        name=driver.name,
        uid=driver.uid,
        resource_version=driver.resource_version,
        finalizer=DRIVER_FINALIZER,
        finalizers=tuple(name for name in driver.finalizers if name != DRIVER_FINALIZER),
    )
