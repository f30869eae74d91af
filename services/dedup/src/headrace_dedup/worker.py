"""The worker: owns the partitions that its group gives it, until it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from headrace_core.errors import Bug, HeadraceError
from headrace_dedup import messages as m
from headrace_dedup.raw_feed import RawFeed
from headrace_dedup.runner import PartitionRunner
from headrace_runtime.ports_log import GroupCoordination, TopicPartition
from headrace_runtime.process import Lifecycle

__all__ = ["Worker"]

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
_COMMIT_EVERY_S = 5.0
_COMMIT_DEADLINE_S = 2.0
_HANDOVER_S = 5.0
_DRAIN_SHARE = 0.5
_GROUP, _KAFKA = "group", "kafka"
_SILENT_S = 5.0


class Worker:
    """Starts and ends runners as the group regroups. An error of one that needs a person ends all.

    ``beside`` runs as long as the worker does (the map of customers is read so); its end ends the worker.
    """

    def __init__(
        self,
        life: Lifecycle,
        group: GroupCoordination,
        feed: RawFeed,
        new_runner: Callable[[int], PartitionRunner],
        *,
        beside: Callable[[], Awaitable[None]],
    ) -> None:
        self._life, self._group, self._feed, self._new_runner = life, group, feed, new_runner
        self._beside = beside
        self._runners: dict[TopicPartition, PartitionRunner] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[bool]] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._commit_due = 0.0

    async def run(self) -> None:
        """Work until the process is asked to stop. Raises the error with which an owner stopped."""
        lasting = [
            asyncio.create_task(self._lasting(self._feed.run, "records of events.raw"), name="raw-feed"),
            asyncio.create_task(self._lasting(self._beside, "edges of identity.edges"), name="identity-feed"),
        ]
        try:
            generation = -2
            while not self._life.stopping.is_set():
                generation = await self._follow(generation, lasting)
            await self._drain()
        finally:
            await self._abandon([*lasting, *self._tasks.values()])

    @staticmethod
    async def _lasting(work: Callable[[], Awaitable[None]], what: str) -> None:
        """Work that has no end of its own: where it ends, also without an error, nothing more would come."""
        await work()
        raise Bug(
            f"The worker reads no {what} any more.",
            why="The task that reads them ended without an error.",
            fix="Report it; the worker is started again.",
            code="reading_ended",
        )

    async def _follow(self, seen: int, lasting: Sequence[asyncio.Task[None]]) -> int:
        """One look at the group and at what runs; the generation that was seen."""
        self._reap(lasting)
        generation = self._group.generation
        if generation < 0:
            self._life.health.down(
                _GROUP, "The group is being formed anew, or its coordinator does not answer."
            )
        else:
            self._life.health.up(_GROUP)
            if generation != seen:
                _log.info("The group gave out partitions.", extra={"owned": len(self._group.owned)})
            self._match(self._group.owned)
        self._check_brokers()
        await self._commit()
        await self._life.sleep(_LOOK_S)
        return generation

    def _check_brokers(self) -> None:
        """Readiness tells of an outage also while there is nothing to append."""
        silent_s = asyncio.get_running_loop().time() - self._feed.last_success_monotonic
        if self._feed.is_reading and silent_s > _SILENT_S:
            self._life.health.down(_KAFKA, f"No broker has answered for {silent_s:.0f} s.")
        else:
            self._life.health.up(_KAFKA)

    def _match(self, owned: frozenset[TopicPartition]) -> None:
        for tp in self._tasks.keys() - owned:
            self._hand_over(tp)
        for tp in sorted(owned - self._tasks.keys(), key=lambda tp: tp.partition):
            runner = self._runners[tp] = self._new_runner(tp.partition)
            self._life.health.down(runner.component, "The index is being read.")
            self._tasks[tp] = asyncio.create_task(runner.run(), name=f"partition-{tp.partition}")

    def _hand_over(self, tp: TopicPartition) -> None:
        """Finish what is in flight, so that the next owner finds everything certified; not for long."""
        runner = self._runners.pop(tp, None)
        if runner is None:
            return
        _log.info("A partition went to another worker.", extra={"partition": tp.partition})
        runner.tell(m.StopRequested())
        asyncio.get_running_loop().call_later(_HANDOVER_S, runner.tell, m.OwnershipLost())

    def _reap(self, lasting: Sequence[asyncio.Task[None]]) -> None:
        """Raise what ended a reader or an owner; one that merely lost its partition is started again if it is ours."""
        for reading in lasting:
            if reading.done():
                reading.result()
        for tp, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[tp]
                self._runners.pop(tp, None)
                task.result()

    async def _commit(self) -> None:
        """Positions as hints for people and lag exporters; nothing here reads them."""
        now = asyncio.get_running_loop().time()
        if now < self._commit_due:
            return
        self._commit_due = now + _COMMIT_EVERY_S
        positions = {
            tp: runner.position
            for tp, runner in self._runners.items()
            if runner.position is not None and self._committed.get(tp) != runner.position
        }
        if positions and await self._group.commit(positions, deadline_s=_COMMIT_DEADLINE_S):
            self._committed.update(positions)

    async def _drain(self) -> None:
        """Every owner finishes what is in flight and certifies its position with an empty block."""
        self._life.health.down("process", "It drains, and will end.")
        for runner in self._runners.values():
            runner.tell(m.StopRequested())
        tasks = list(self._tasks.values())
        if tasks:
            done, left = await asyncio.wait(
                tasks, timeout=self._life.settings.shutdown_grace_s * _DRAIN_SHARE
            )
            clean = sum(1 for task in done if task.exception() is None and task.result())
            _log.info(
                "Partitions were given up.", extra={"clean": clean, "others": len(done) + len(left) - clean}
            )
            for task in done:
                if isinstance(error := task.exception(), HeadraceError):
                    raise error
        self._commit_due = 0.0
        await self._commit()

    @staticmethod
    async def _abandon(tasks: list[asyncio.Task[None] | asyncio.Task[bool]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5.0)
