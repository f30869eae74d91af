"""The operator over the fake cluster: settings, a connection, and the whole operator as a task that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.objects import Json

from headrace_core.clock import SystemClock
from headrace_operator.actions import Facts, Plan
from headrace_operator.context import Operator
from headrace_operator.measurements import Measurements
from headrace_operator.observed import ObservedPod, ObservedRun
from headrace_operator.reconciler import Planner
from headrace_operator.settings import OperatorSettings
from headrace_runtime.health import Health
from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection, KubernetesSettings
from headrace_runtime.telemetry import Telemetry

__all__ = [
    "NAMESPACE",
    "RecordingPlanner",
    "RunningOperator",
    "connect",
    "create_run",
    "running_operator",
    "until",
]

NAMESPACE = "runs"


@asynccontextmanager
async def connect(
    fake: FakeKubernetes, folder: Path, token: str
) -> AsyncIterator[tuple[KubernetesConnection, HttpKubernetesApi]]:
    """A client of the fake cluster under its own token."""
    settings = KubernetesSettings.model_validate({"kubeconfig": fake.kubeconfig(folder, token, NAMESPACE)})
    connection = await KubernetesConnection.open(settings)
    async with HttpKubernetesApi.open(connection) as api:
        yield connection, api


def create_run(fake: FakeKubernetes, name: str, **spec: object) -> Json:
    """A PipelineRun as a user makes it."""
    body = {"metadata": {"name": name}, "spec": {"job": "daily", "date": "2026-11-28", **spec}}
    return fake.store.create(resource_named("pipelineruns"), NAMESPACE, body)


class RecordingPlanner:
    """Plans nothing, remembers what it was asked about."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.pause_ms: int | None = None

    def __call__(
        self,
        run: ObservedRun,
        pods: Sequence[ObservedPod],
        _holders: Sequence[str],
        now_ms: int,
        _facts: Facts,
    ) -> Plan:
        """Nothing to do."""
        self.seen.append((run.name, len(pods)))
        return Plan(requeue_at_ms=None if self.pause_ms is None else now_ms + self.pause_ms)


class RunningOperator:
    """An operator that runs as a task."""

    def __init__(self, operator: Operator, health: Health, telemetry: Telemetry) -> None:
        self.operator = operator
        self.health = health
        self.telemetry = telemetry
        self.stopping = asyncio.Event()
        self.task = asyncio.create_task(operator.run(self.stopping, lambda: None))
        self.lost = ""

    async def kill(self) -> None:
        """End it without a chance to say anything; what it still sends is cut by the fake."""
        self.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.task


@asynccontextmanager
async def running_operator(
    fake: FakeKubernetes, folder: Path, planner: Planner, *, token: str = "operator"
) -> AsyncIterator[RunningOperator]:
    """The whole operator: Lease, kopf, queue. It is ready when the context begins."""
    async with connect(fake, folder, token) as (connection, api):
        clock = SystemClock()
        health, telemetry = Health(clock), Telemetry("headrace-operator", "test")
        settings = OperatorSettings.model_validate(
            {"instance": token, "creations_per_s": 1_000, "runs_file": folder / "unused"}
        )
        operator = Operator(
            connection,
            api,
            settings,
            clock=clock,
            health=health,
            measurements=Measurements(telemetry, clock),
            planner=planner,
            on_lost=lambda why: setattr(running, "lost", why),
        )
        running = RunningOperator(operator, health, telemetry)
        try:
            await until(lambda: health.ready or running.task.done())
            if running.task.done():
                await running.task
            yield running
        finally:
            running.stopping.set()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(running.task, 30.0)
            telemetry.shutdown()


async def until(met: Callable[[], bool] | Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    """Wait for something to become true; fails where it does not."""
    async with asyncio.timeout(within_s):
        while True:
            found = met()
            if isinstance(found, bool):
                if found:
                    return
            elif await found:
                return
            await asyncio.sleep(0.01)
