"""What an operator process owns, from start to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from headrace_core.clock import Clock
from headrace_core.errors import RetryLater
from headrace_operator.carrying_out import ActionCarrier
from headrace_operator.cluster_view import ClusterView
from headrace_operator.event_log import EventLog
from headrace_operator.lease import Leadership
from headrace_operator.measurements import Measurements
from headrace_operator.names import PLURAL
from headrace_operator.probes import INDEXES, LEASE, add_probes
from headrace_operator.reconciler import Planner, Reconciler
from headrace_operator.resync import Resync
from headrace_operator.settings import OperatorSettings
from headrace_operator.token_bucket import TokenBucket
from headrace_operator.watches import WatchAge, Watches
from headrace_operator.workqueue import WorkQueue
from headrace_runtime.health import Health
from headrace_runtime.kubernetes_connection import KubernetesConnection
from headrace_runtime.ports_kubernetes import KubernetesApi

__all__ = ["Operator"]

_log = logging.getLogger(__name__)
_SAMPLE_S = 5.0
_END_S = 10.0


class Operator:
    """All parts of the operator of one namespace, and the order in which they live."""

    def __init__(
        self,
        connection: KubernetesConnection,
        api: KubernetesApi,
        settings: OperatorSettings,
        *,
        clock: Clock,
        health: Health,
        measurements: Measurements,
        planner: Planner,
        on_lost: Callable[[str], None],
    ) -> None:
        namespace = connection.namespace
        self._clock = clock
        self._settings = settings
        self._health = health
        self._measurements = measurements
        self._on_lost = on_lost
        self.view = ClusterView()
        self.queue = WorkQueue(clock, self._reconcile)
        self.age = WatchAge(clock, (PLURAL, "pods"))
        self.watches = Watches(connection, self.view, self.age, enqueue=self.queue.add)
        self.resync = Resync(api, self.view, clock, namespace=namespace, enqueue=self.queue.add)
        self.leadership = Leadership(
            api, clock, namespace=namespace, name=settings.lease_name, me=settings.instance
        )
        carrier = ActionCarrier(
            api,
            self.view,
            clock,
            namespace=namespace,
            creations=TokenBucket(settings.creations_per_s, settings.creations_burst),
            events=EventLog(api, clock, namespace, settings.instance),
            notify=self.queue.add,
        )
        self._reconciler = Reconciler(
            api,
            self.view,
            clock,
            namespace=namespace,
            planner=planner,
            carrier=carrier,
            notify=self.queue.add,
            on_round=measurements.moved,
        )
        self._leads = False
        add_probes(health, self.age, self.queue)

    async def run(self, stopping: asyncio.Event, take_signals: Callable[[], None]) -> None:
        """Lead and work until ``stopping``. ``take_signals`` is called once kopf has taken them for itself."""
        stopped = asyncio.ensure_future(stopping.wait())
        work = asyncio.ensure_future(self._lead(take_signals))
        try:
            await asyncio.wait([stopped, work], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
                self._ended_early()
        finally:
            stopped.cancel()
            await self._end(work)
            if self._leads:
                await self.leadership.release()

    @staticmethod
    async def _end(work: asyncio.Future[None]) -> None:
        """Whatever goes wrong at the end is told, and the Lease is released all the same."""
        work.cancel()
        await asyncio.wait([work], timeout=_END_S)
        if work.done() and not work.cancelled() and (error := work.exception()) is not None:
            _log.warning("The work did not end in order.", extra={"why": repr(error)})

    async def _lead(self, take_signals: Callable[[], None]) -> None:
        await self.leadership.acquire()
        self._leads = True
        self._health.up(LEASE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.leadership.keep(self._lost))
            tasks.create_task(self._watch(take_signals))
            tasks.create_task(self._work())
            tasks.create_task(self._sample())

    async def _watch(self, take_signals: Callable[[], None]) -> None:
        await self.watches.run(take_signals)
        self._ended_early()

    async def _work(self) -> None:
        """Nothing is planned before everything was seen once."""
        await self.age.began.wait()
        await self.resync.compare()
        self._health.up(INDEXES)
        _log.info("Every run and pod was seen; the work begins.", extra={"runs": len(list(self.view.runs))})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.queue.run(self._settings.reconcile_workers))
            tasks.create_task(self.resync.run(self.age))

    async def _sample(self) -> None:
        while True:
            self._measurements.sample(self.view, self.queue, self.age, leads=self._leads)
            await asyncio.sleep(_SAMPLE_S)

    async def _reconcile(self, name: str) -> int | None:
        began_s, failed = self._clock.monotonic_s(), True
        try:
            again_ms = await self._reconciler.reconcile(name)
            failed = False
        finally:
            self._measurements.reconciled(self._clock.monotonic_s() - began_s, failed=failed)
        return again_ms

    def _lost(self, why: str) -> None:
        self._leads = False
        self._health.down(LEASE, why)
        self._on_lost(why)

    @staticmethod
    def _ended_early() -> None:
        raise RetryLater(
            "The watches have ended.",
            why="kopf stopped on an error of its own, which the log shows, or on a signal.",
            fix="The process is started again; if it ends so each time, look at its rights.",
            code="watches_ended",
        )
