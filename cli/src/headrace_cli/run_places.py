"""Where runs are: in a folder of this machine, or PipelineRuns of a Kubernetes cluster. The commands see no difference."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

import msgspec

from headrace_core.errors import HeadraceError, UsageError
from headrace_core.pipeline_run import RunSpec
from headrace_core.run_policy import Run
from headrace_local.runs import LocalRuns
from headrace_runtime.cluster_runs import ClusterRuns
from headrace_runtime.settings import load_settings

__all__ = ["PLACES", "RunPlace", "open_place"]

PLACES = ("local", "kubernetes")

T = TypeVar("T")
Tell = Callable[[Run], None]


class RunPlace(Protocol):
    """What the commands ask for. The calls raise errors that say what to do."""

    def submit(self, spec: RunSpec, name: str | None) -> Run:
        """Begin a run, or find the one that there is."""

    def get(self, name: str) -> Run:
        """A run as it is."""

    def all(self) -> Sequence[Run]:
        """Every run, the newest first."""

    def unreadable(self) -> Sequence[HeadraceError]:
        """Why some runs cannot be read."""

    def cancel(self, name: str) -> Run:
        """Ask a run to end."""

    def rerun(self, name: str, key: str | None) -> Run:
        """The work of a run once more, as a run of its own; of one key once."""

    def wait(self, name: str, tell: Tell) -> Run:
        """Wait until a run is finished."""

    def log_files(self, name: str) -> list[Path]:
        """Logs that grow on this machine while the run is at work."""

    def logs(self, name: str) -> Iterator[tuple[str, bytes]]:
        """What each attempt wrote, with a title."""


class LocalPlace:
    """Runs in a folder of this machine."""

    def __init__(self, runs: LocalRuns) -> None:
        self._runs = runs
        self.get = runs.get
        self.all = runs.all
        self.unreadable = runs.unreadable
        self.cancel = runs.cancel
        self.log_files = runs.logs

    def submit(self, spec: RunSpec, name: str | None) -> Run:
        """See `RunPlace`."""
        return self._runs.submit(spec, name)

    def rerun(self, name: str, key: str | None) -> Run:
        """See `RunPlace`. Here the key becomes a part of the name."""
        again = msgspec.structs.replace(self._runs.get(name).spec, rerun_of=name, suspend=False, cancel=False)
        return self._runs.submit(again, None if key is None else f"{name}-{key}")

    def wait(self, name: str, tell: Tell) -> Run:
        """See `RunPlace`."""
        return self._runs.wait(name, tell=tell)

    def logs(self, name: str) -> Iterator[tuple[str, bytes]]:
        """See `RunPlace`."""
        for path in self._runs.logs(name):
            yield str(path), path.read_bytes() if path.exists() else b""


class ClusterPlace:
    """PipelineRuns of the cluster that HEADRACE_KUBECONFIG, the pod's account or KUBECONFIG names."""

    def submit(self, spec: RunSpec, name: str | None) -> Run:
        """See `RunPlace`."""
        return _in_cluster(lambda runs: runs.submit(spec, name))[0]

    def get(self, name: str) -> Run:
        """See `RunPlace`."""
        return _in_cluster(lambda runs: runs.get(name))

    def all(self) -> Sequence[Run]:
        """See `RunPlace`."""
        return _in_cluster(lambda runs: runs.all())

    def unreadable(self) -> Sequence[HeadraceError]:
        """See `RunPlace`. Of a cluster's runs the operator says it, in their status."""
        return ()

    def cancel(self, name: str) -> Run:
        """See `RunPlace`."""
        return _in_cluster(lambda runs: runs.cancel(name))

    def rerun(self, name: str, key: str | None) -> Run:
        """See `RunPlace`."""
        return _in_cluster(lambda runs: runs.rerun(name, key or uuid4().hex))[0]

    def wait(self, name: str, tell: Tell) -> Run:
        """See `RunPlace`."""
        return _in_cluster(lambda runs: runs.wait(name, tell=tell))

    def log_files(self, name: str) -> list[Path]:
        """See `RunPlace`."""
        return []

    def logs(self, name: str) -> Iterator[tuple[str, bytes]]:
        """See `RunPlace`."""
        for number, text in _in_cluster(lambda runs: runs.logs(name)):
            yield f"{name}, attempt {number}", text


def open_place(on: str, root: Path, *, starting: bool = False) -> RunPlace:
    """The place that ``on`` names; on this machine the installation in ``root``, which ``starting`` asks to be there."""
    if on == "kubernetes":
        return ClusterPlace()
    if on != "local":
        raise UsageError(
            f"There are no runs on {on!r}.", fix=f"--on takes one of: {', '.join(PLACES)}.", code="usage"
        )
    return LocalPlace(_local_runs(root, starting=starting))


def _local_runs(root: Path, *, starting: bool) -> LocalRuns:
    """The runs of the installation in ``root``; what the environment sets goes before what the folder says."""
    from headrace_local.installation import recall

    known = dict(recall(root).environment)
    if starting and not known and "HEADRACE_S3_BUCKET" not in os.environ:
        raise UsageError(
            "There is no installation to run a job on.",
            why=f"{root} holds none, and no HEADRACE_… variables name one.",
            fix="Start one with `headrace demo`, name one by --root or its settings, or use a cluster's: --on kubernetes.",
            code="no_installation",
        )
    return LocalRuns(root, {**known, **os.environ})


def _in_cluster(call: Callable[[ClusterRuns], Awaitable[T]]) -> T:
    """Carry out one call on a connection of its own."""
    from headrace_runtime.kubernetes import HttpKubernetesApi
    from headrace_runtime.kubernetes_connection import KubernetesConnection, KubernetesSettings

    async def called() -> T:
        connection = await KubernetesConnection.open(load_settings(KubernetesSettings, os.environ))
        async with HttpKubernetesApi.open(connection) as api:
            return await call(ClusterRuns(api, connection.namespace))

    return asyncio.run(called())
