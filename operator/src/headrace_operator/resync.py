"""Compares the view with what the API server lists, by names alone: kopf lists again after a gap in a watch, but does not tell
what has vanished in it, nor when its first list has reached every handler.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from headrace_core.clock import Clock
from headrace_core.errors import HeadraceError
from headrace_operator.cluster_view import ClusterView
from headrace_operator.names import MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL
from headrace_operator.watches import WatchAge
from headrace_runtime.errors_kubernetes import ObjectAbsent
from headrace_runtime.ports_kubernetes import PIPELINE_RUNS, PODS, Json, KubernetesApi, ResourceKind

__all__ = ["RESYNC_S", "Resync"]

_log = logging.getLogger(__name__)

RESYNC_S = 300.0
"""Longest time that an object which has vanished unseen stays in the view."""

_PODS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
_PATIENCE_S = 30.0
_LOOK_S = 0.1
_RETRY_S = 5.0


class Resync:
    """Makes the view whole."""

    def __init__(
        self,
        api: KubernetesApi,
        view: ClusterView,
        clock: Clock,
        *,
        namespace: str,
        enqueue: Callable[[str], None],
    ) -> None:
        self._api = api
        self._view = view
        self._clock = clock
        self._namespace = namespace
        self._enqueue = enqueue

    async def run(self, age: WatchAge) -> None:
        """Compare until cancelled: every `RESYNC_S`, and after every list of a watch."""
        while True:
            try:
                async with asyncio.timeout(RESYNC_S):
                    await age.listed.wait()
            except TimeoutError:
                pass
            age.listed.clear()
            try:
                await self.compare()
            except HeadraceError as error:
                _log.warning("The view was not compared.", extra={"why": str(error)})
                await asyncio.sleep(_RETRY_S)

    async def compare(self) -> None:
        """What is listed is in the view afterwards, what is gone is not. Waits a while for the watches to bring it."""
        before = {run.name: run.uid for run in self._view.runs}
        pods_before = self._view.pod_uids()
        runs = (await self._api.list(PIPELINE_RUNS, self._namespace, metadata_only=True)).items
        pods = (await self._api.list(PODS, self._namespace, labels=_PODS, metadata_only=True)).items
        self._drop_runs(before, runs)
        self._drop_pods(pods_before, pods)
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        while self._missing(runs, pods) and self._clock.monotonic_s() < until_s:  # noqa: ASYNC110  (kopf tells nobody)
            await asyncio.sleep(_LOOK_S)
        for kind, name in self._missing(runs, pods):
            await self._fetch(kind, name)

    def _drop_runs(self, before: dict[str, str], listed: list[Json]) -> None:
        uids = {body["metadata"]["uid"] for body in listed}
        for name, uid in before.items():
            if uid not in uids:
                self._tell(self._view.lost_run(name, uid))

    def _drop_pods(self, before: dict[tuple[str, str], str], listed: list[Json]) -> None:
        uids = {body["metadata"]["uid"] for body in listed}
        for (run, name), uid in before.items():
            if uid not in uids:
                self._tell(self._view.lost_pod(run, name, uid))

    def _missing(self, runs: list[Json], pods: list[Json]) -> list[tuple[ResourceKind, str]]:
        known = self._view.pod_uids()
        names = [body["metadata"] for body in runs]
        missing = [(PIPELINE_RUNS, each["name"]) for each in names if self._view.run(each["name"]) is None]
        for body in pods:
            metadata = body["metadata"]
            run = (metadata.get("labels") or {}).get(RUN_LABEL, "")
            if run and (run, metadata["name"]) not in known:
                missing.append((PODS, metadata["name"]))
        return missing

    async def _fetch(self, kind: ResourceKind, name: str) -> None:
        try:
            body = await self._api.get(kind, self._namespace, name)
        except ObjectAbsent:
            return
        self._tell(self._view.saw_run(body) if kind is PIPELINE_RUNS else self._view.saw_pod(body))

    def _tell(self, names: set[str]) -> None:
        for name in names:
            self._enqueue(name)
