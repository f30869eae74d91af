"""Runs of batch jobs on Kubernetes: PipelineRuns submitted, looked at, waited for and cancelled.

A name stands for one piece of work: the same name with the same spec is the same run, with another spec a conflict. So every
call may be repeated, and whoever loses its answer asks again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from headrace_core.errors import BadData, HeadraceError, Unavailable, UsageError
from headrace_core.pipeline_run import RunSpec
from headrace_core.run_policy import Run, run_name, same_work
from headrace_core.run_resource import LONGEST_NAME, resource_of, run_of
from headrace_runtime.errors_kubernetes import ObjectAbsent, ObjectExists, VersionExpired
from headrace_runtime.ports_kubernetes import PIPELINE_RUNS, KubernetesApi

__all__ = ["ClusterRuns"]

_WATCH_S = 60.0
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_KEY_DIGITS = 8
_MOST_NAMES = 20
"""Names that are tried for a run without one, where others create runs at the same time."""


class ClusterRuns:
    """The PipelineRuns of a namespace. Raises the errors of `headrace_runtime.errors_kubernetes`, and those named."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def submit(self, spec: RunSpec, name: str | None = None) -> tuple[Run, bool]:
        """Create a run, or find the one that has this name, and whether this call made it; without a name an active run that
        does the same is the one. UsageError where the name is another work's."""
        if name is not None:
            return await self._create(name, spec)
        runs = await self.all()
        for run in runs:
            if not run.finished and same_work(run.spec, spec):
                return run, False
        taken = [run.name for run in runs]
        for _ in range(_MOST_NAMES):
            with suppress(ObjectExists):  # somebody else has just taken it
                return await self._made(run_name(spec, taken), spec), True
            taken.append(run_name(spec, taken))
        return await self._create(run_name(spec, taken), spec)

    async def get(self, name: str) -> Run:
        """A run as it is. BadData where there is none."""
        return run_of(await self._api.get(PIPELINE_RUNS, self._namespace, name))

    async def all(self) -> list[Run]:
        """Every run that can be read, the newest first."""
        listed = await self._api.list(PIPELINE_RUNS, self._namespace)
        runs = []
        for body in listed.items:
            try:
                runs.append(run_of(body))
            except BadData:
                continue  # one of a newer version, or one that the operator has refused, hides no other
        return sorted(runs, key=lambda run: (run.created_ms, run.name), reverse=True)

    async def cancel(self, name: str) -> Run:
        """Ask a run to end; the run as it is now."""
        run = await self.get(name)
        if run.finished:
            return run
        return run_of(await self._api.patch(PIPELINE_RUNS, self._namespace, name, {"spec": {"cancel": True}}))

    async def rerun(self, name: str, key: str) -> tuple[Run, bool]:
        """The work of a run once more, as a run of its own; whether this call made it. The same ``key`` is the same rerun.
        The run itself is left as it is. UsageError where the key was used for another run's rerun."""
        before = await self.get(name)
        spec = msgspec.structs.replace(before.spec, rerun_of=name, suspend=False, cancel=False)
        digest = hashlib.sha256(f"{name}\0{key}".encode()).hexdigest()[:_KEY_DIGITS]
        again = f"{name[: LONGEST_NAME - _KEY_DIGITS - 1].rstrip('-')}-{digest}"
        return await self._create(again, spec)

    async def logs(self, name: str, attempt: int | None = None) -> Sequence[tuple[int, bytes]]:
        """What the drivers of a run wrote, by attempt, of one or of all; those whose pod is gone are left out."""
        body = await self._api.get(PIPELINE_RUNS, self._namespace, name)
        pods = {
            each["number"]: each.get("driverPod") for each in (body.get("status") or {}).get("attempts", ())
        }
        found = []
        for number, pod in sorted(pods.items()):
            if pod and attempt in (None, number):
                try:
                    found.append((number, await self._api.log(self._namespace, pod)))
                except ObjectAbsent:
                    continue
        return found

    async def wait(self, name: str, *, tell: Callable[[Run], None] | None = None) -> Run:
        """Wait until a run is finished, through every outage of the API server; the run. ``tell`` hears of each change.
        BadData where it is deleted meanwhile."""
        pause_s = _PAUSE_S
        while True:
            try:
                body = await self._api.get(PIPELINE_RUNS, self._namespace, name)
                run = run_of(body)
                if tell is not None:
                    tell(run)
                if run.finished:
                    return run
                pause_s = _PAUSE_S
                if not await self._changed(name, body["metadata"]["resourceVersion"]):
                    await asyncio.sleep(_PAUSE_S)  # a watch that ends at once must not make a busy loop
            except Unavailable as error:
                if not isinstance(error, VersionExpired):
                    await asyncio.sleep(pause_s)
                    pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    async def _changed(self, name: str, version: str) -> bool:
        """Whether something happened to a run after that version before its watch ended, a minute later at most."""
        events = self._api.watch(
            PIPELINE_RUNS, self._namespace, resource_version=version, name=name, for_s=_WATCH_S
        )
        async for event in events:
            if event.kind != "BOOKMARK":
                return True
        return False

    async def _create(self, name: str, spec: RunSpec) -> tuple[Run, bool]:
        try:
            return await self._made(name, spec), True
        except ObjectExists:
            run = await self.get(name)
        if not same_work(run.spec, spec):
            raise _conflict(name)
        return run, False

    async def _made(self, name: str, spec: RunSpec) -> Run:
        body = resource_of(name, spec)
        return run_of(await self._api.create(PIPELINE_RUNS, self._namespace, body, strict=True))


def _conflict(name: str) -> HeadraceError:
    return UsageError(
        f"The name {name} is another run's.",
        why="A name stands for one piece of work, and this spec asks for another.",
        fix="Give another name, or none.",
        code="run_conflict",
    )
