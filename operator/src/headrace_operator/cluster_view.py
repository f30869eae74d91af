"""What the operator knows of its namespace: small values by run, fed by watches and by the answers to its own calls.

Whatever is older than what is known is passed over, by resource version: so the operator reads its own writes, also while a
watch lags behind. Nothing is concluded from what is absent here; that takes a live read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace_core.errors import BadData
from headrace_operator.observed import ObservedPod, ObservedRun, holders_of, observe_pod, observe_run

__all__ = ["ClusterView"]

Json = dict[str, Any]


class ClusterView:
    """Runs and their pods. The methods that take something in return the names of the runs that it may matter to."""

    def __init__(self) -> None:
        self._runs: dict[str, ObservedRun] = {}
        self._pods: dict[str, dict[str, ObservedPod]] = {}
        self._by_key: dict[str, set[str]] = {}

    def run(self, name: str) -> ObservedRun | None:
        """A run."""
        return self._runs.get(name)

    def pods(self, run: str) -> tuple[ObservedPod, ...]:
        """Pods of a run, those of a namesake before it included, by name."""
        return tuple(pod for _, pod in sorted(self._pods.get(run, {}).items()))

    def holders(self, run: ObservedRun) -> tuple[str, ...]:
        """Other active runs that hold the run's concurrency key."""
        names = self._by_key.get(run.key or "", ())
        return holders_of(run, [self._runs[name] for name in sorted(names)])

    @property
    def runs(self) -> Iterable[ObservedRun]:
        """All runs."""
        return self._runs.values()

    def pod_uids(self) -> dict[tuple[str, str], str]:
        """Uids of all pods, by run and name."""
        return {(run, name): pod.uid for run, pods in self._pods.items() for name, pod in pods.items()}

    def saw_run(self, body: Json) -> set[str]:
        """A run as it was at some time."""
        try:
            run = observe_run(body)
        except BadData:
            return set()
        before = self._runs.get(run.name)
        if before is not None and not _newer(run.resource_version, before.resource_version):
            return set()
        if before is not None and before.key != run.key:
            self._unkey(before)
        self._runs[run.name] = run
        touched = {run.name}
        if run.key is not None:
            self._by_key.setdefault(run.key, set()).add(run.name)
            if not run.active and (before is None or before.active):
                touched |= self._by_key[run.key]
        return touched

    def lost_run(self, name: str, uid: str) -> set[str]:
        """A run is gone."""
        run = self._runs.get(name)
        if run is None or run.uid != uid:
            return set()
        del self._runs[name]
        self._unkey(run)
        return {name} | self._by_key.get(run.key or "", set())

    def _unkey(self, run: ObservedRun) -> None:
        names = self._by_key.get(run.key or "")
        if names is not None:
            names.discard(run.name)
            if not names:
                del self._by_key[run.key or ""]

    def saw_pod(self, body: Json) -> set[str]:
        """A pod as it was at some time."""
        try:
            pod = observe_pod(body)
        except BadData:
            return set()
        if pod is None:
            return set()
        pods = self._pods.setdefault(pod.run, {})
        before = pods.get(pod.name)
        if before is not None and not _newer(pod.resource_version, before.resource_version):
            return set()
        pods[pod.name] = pod
        return {pod.run}

    def lost_pod(self, run: str, name: str, uid: str) -> set[str]:
        """A pod is gone."""
        pods = self._pods.get(run, {})
        if name not in pods or pods[name].uid != uid:
            return set()
        del pods[name]
        if not pods:
            del self._pods[run]
        return {run}

    def saw_all_pods(self, run: str, bodies: Iterable[Json]) -> tuple[ObservedPod, ...]:
        """The run's pods as the API server has just listed them: those that are not among them are gone."""
        listed = list(bodies)
        names = {body["metadata"]["name"] for body in listed}
        for pod in self.pods(run):
            if pod.name not in names:
                self.lost_pod(run, pod.name, pod.uid)
        for body in listed:
            self.saw_pod(body)
        return self.pods(run)


def _newer(version: str, than: str) -> bool:
    """Resource versions are numbers that grow over all objects of a resource (Kubernetes 1.35 made that a promise)."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
