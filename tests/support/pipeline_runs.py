"""PipelineRuns of a real cluster for end-to-end tests: make them, wait for what they say of themselves, look at their pods."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.support.cluster import Cluster

from headrace_core.run_resource import API_VERSION, KIND

__all__ = ["Body", "PipelineRuns", "attempts", "condition", "resource"]

Body = dict[str, Any]

_TURN_S = 0.5


def resource(name: str, spec: Body) -> Body:
    """The resource of a run."""
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def condition(body: Body, kind: str = "Succeeded") -> tuple[str, str]:
    """Status and reason of a condition; empty where it is not there."""
    for found in (body.get("status") or {}).get("conditions", ()):
        if found["type"] == kind:
            return found["status"], found["reason"]
    return "", ""


def attempts(body: Body) -> list[Body]:
    """The attempts of a run, the first one first."""
    found: list[Body] = (body.get("status") or {}).get("attempts", [])
    return found


class PipelineRuns:
    """The runs of a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def create(self, name: str, **spec: Any) -> None:
        """Make a run."""
        self.create_all([resource(name, spec)])

    def create_all(self, bodies: Iterable[Body]) -> None:
        """Make many runs by one command."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
        self._cluster.kubectl("create", "--filename=-", "--output=name", stdin=json.dumps(listed))

    def patch(self, name: str, **spec: Any) -> None:
        """Change what of a run may be changed."""
        self._cluster.kubectl("patch", "plrun", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def get(self, name: str) -> Body:
        """A run as it is."""
        found: Body = json.loads(self._cluster.kubectl("get", "plrun", name, "--output=json"))
        return found

    def there(self, name: str) -> bool:
        """Whether it exists."""
        return bool(self._cluster.kubectl("get", "plrun", name, "--ignore-not-found", "--output=name"))

    def pods(self, name: str, role: str = "") -> list[Body]:
        """Pods of a run: its drivers, its executors, or both."""
        return self._cluster.objects(
            "pods", f"headrace.io/run={name}" + (f",spark-role={role}" if role else "")
        )

    def until(self, name: str, holds: Callable[[Body], bool], within_s: float = 240.0) -> Body:
        """The run once something holds of it; AssertionError with the whole of it, and what its pods say, where that does not come."""
        deadline = time.monotonic() + within_s
        while True:
            body = self.get(name)
            if holds(body):
                return body
            assert time.monotonic() < deadline, (body, [pod["status"] for pod in self.pods(name)])
            time.sleep(_TURN_S)

    def reason(self, name: str, *reasons: str, within_s: float = 240.0) -> Body:
        """The run once its Succeeded has one of the reasons. A run that ended for another one is not waited for."""

        def holds(body: Body) -> bool:
            status, now = condition(body)
            assert status not in {"True", "False"} or now in reasons, body["status"]
            return now in reasons

        return self.until(name, holds, within_s)

    def driver_runs(self, name: str, number: int = 1, within_s: float = 240.0) -> Body:
        """The driver pod of an attempt once its container runs."""
        deadline = time.monotonic() + within_s
        while True:
            for pod in self.pods(name, "driver"):
                if pod["metadata"]["name"] == f"{name}-{number}-driver" and _runs(pod):
                    return pod
            assert time.monotonic() < deadline, self.get(name)
            time.sleep(_TURN_S)


def _runs(pod: Body) -> bool:
    return any("running" in container["state"] for container in pod["status"].get("containerStatuses", ()))
