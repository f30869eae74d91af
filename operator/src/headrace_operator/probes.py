"""When the operator is alive and when it is ready."""

from __future__ import annotations

from headrace_operator.watches import WatchAge
from headrace_operator.workqueue import WorkQueue
from headrace_runtime.health import Health

__all__ = ["INDEXES", "LEASE", "QUEUE_STUCK_S", "WATCH_SILENT_S", "add_probes"]

WATCH_SILENT_S = 150.0
QUEUE_STUCK_S = 120.0
LEASE = "lease"
INDEXES = "indexes"


def add_probes(health: Health, age: WatchAge, queue: WorkQueue) -> None:
    """Alive: no watch is silent and the head of the queue moves. Ready: the Lease is held and the indexes are full."""
    health.down(LEASE, "another process may hold it")
    health.down(INDEXES, "not everything was listed yet")
    health.watch("watches", lambda: _silent(age))
    health.watch("queue", lambda: _stuck(queue))


def _silent(age: WatchAge) -> str | None:
    silent = {name: age_s for name, age_s in age.ages_s().items() if age_s > WATCH_SILENT_S}
    return (
        "; ".join(f"the watch of {name} was silent for {age_s:.0f} s" for name, age_s in silent.items())
        or None
    )


def _stuck(queue: WorkQueue) -> str | None:
    age_s = queue.head_age_s
    return f"a run has waited for {age_s:.0f} s" if age_s > QUEUE_STUCK_S else None
