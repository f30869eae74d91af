"""What the operator counts and measures. Labels are closed: resources, verbs, jobs, reasons; never the name of a run."""

from __future__ import annotations

from collections import Counter

import aiohttp

from headrace_core.clock import Clock
from headrace_core.instants import read_instant
from headrace_core.run_status import AttemptStatus
from headrace_operator.cluster_view import ClusterView
from headrace_operator.observed import ObservedRun
from headrace_operator.watches import WatchAge
from headrace_operator.workqueue import WorkQueue
from headrace_runtime.telemetry import Telemetry

__all__ = ["Measurements"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "read"}
_RESOURCES = frozenset({"pipelineruns", "pods", "configmaps", "events", "leases"})


class Measurements:
    """Records to telemetry."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock

    def answered(self, method: str, request: aiohttp.ClientRequest, status: int) -> None:
        """An answer of the API server."""
        parts = [part for part in request.url.path.split("/") if part in _RESOURCES]
        self._telemetry.count(
            "headrace_operator_api_calls_total",
            verb=_VERBS.get(method, "other"),
            resource=parts[0] if parts else "other",
            status=str(status),
        )

    def reconciled(self, seconds: float, *, failed: bool) -> None:
        """A reconciliation is over."""
        outcome = "failed" if failed else "done"
        self._telemetry.observe("headrace_operator_reconcile_seconds", seconds, outcome=outcome)

    def moved(self, before: ObservedRun, after: ObservedRun | None) -> None:
        """A run before and after actions were carried out."""
        if after is None or after.spec is None:
            return
        if after.status.finished and not before.status.finished:
            self._finished(after)
        for number, attempt in enumerate(after.status.attempts):
            known = before.status.attempts[number] if number < len(before.status.attempts) else None
            self._attempt(after, known, attempt)

    def _attempt(self, run: ObservedRun, known: AttemptStatus | None, attempt: AttemptStatus) -> None:
        start_ms = read_instant(attempt.start_time) or 0
        if known is None and attempt.number == 1:
            waited_s = max(0.0, (start_ms - run.created_ms) / 1000)
            self._telemetry.observe("headrace_operator_submit_seconds", waited_s)
        running_ms = read_instant(attempt.running_time)
        if running_ms is not None and (known is None or known.running_time is None):
            self._telemetry.observe(
                "headrace_operator_schedule_seconds", max(0.0, (running_ms - start_ms) / 1000)
            )

    def _finished(self, run: ObservedRun) -> None:
        succeeded = run.status.condition("Succeeded")
        assert succeeded is not None
        assert run.spec is not None
        job, reason = run.spec.job, succeeded.reason
        self._telemetry.count("headrace_operator_runs_finished_total", job=job, reason=reason)
        start_ms, end_ms = read_instant(run.status.start_time), read_instant(run.status.completion_time)
        if start_ms is not None and end_ms is not None:
            seconds = max(0.0, (end_ms - start_ms) / 1000)
            self._telemetry.observe("headrace_operator_run_seconds", seconds, job=job)

    def sample(self, view: ClusterView, queue: WorkQueue, age: WatchAge, *, leads: bool) -> None:
        """Gauges as of now."""
        gauge = self._telemetry.gauge
        gauge("headrace_operator_leader", float(leads))
        gauge("headrace_operator_queue_keys", queue.keys)
        gauge("headrace_operator_queue_age_seconds", queue.head_age_s)
        for resource, age_s in age.ages_s().items():
            gauge("headrace_operator_watch_age_seconds", age_s, resource=resource)
        states = Counter(_state(run) for run in view.runs)
        for state in ("active", "succeeded", "failed"):
            gauge("headrace_operator_runs", states[state], state=state)


def _state(run: ObservedRun) -> str:
    succeeded = run.status.condition("Succeeded")
    if succeeded is None or succeeded.status == "Unknown":
        return "active"
    return "succeeded" if succeeded.status == "True" else "failed"
