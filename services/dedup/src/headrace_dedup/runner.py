"""Carries out what the owner of one partition asks for, and tells it what came of it. One task per partition."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from headrace_core.errors import Bug, HeadraceError, Unavailable
from headrace_dedup import messages as m
from headrace_dedup.log_access import LogAccess, PartitionNames
from headrace_dedup.outgoing import block_batch, clean_batches, edge_batches, quarantine_batches
from headrace_dedup.owner import Owner
from headrace_dedup.partition_reads import PartitionReads, pauses
from headrace_dedup.range_telemetry import RangeTelemetry
from headrace_dedup.raw_feed import RawFeed
from headrace_dedup.settings import DedupSettings
from headrace_runtime.health import Health
from headrace_runtime.ports_log import Batch, Records, TopicPartition

__all__ = ["PartitionRunner"]

_log = logging.getLogger(__name__)
_RENEW_DEADLINE_S = 10.0
_CONFIRM_DEADLINE_S = 3.0
_STUCK_AFTER_S = 120.0
_TURNS = 8
"""Turns of the event loop that an append takes until its bytes have left."""


class PartitionRunner:
    """Runs one owner to its end. Every wait on the log has a deadline or ends with the owner's task."""

    def __init__(
        self,
        owner: Owner,
        names: PartitionNames,
        log: LogAccess,
        feed: RawFeed,
        reads: PartitionReads,
        *,
        health: Health,
        telemetry: RangeTelemetry,
        settings: DedupSettings,
    ) -> None:
        self.owner, self.names = owner, names
        self._log, self._feed, self._reads = log, feed, reads
        self._health, self._telemetry, self._settings = health, telemetry, settings
        self._events: deque[m.Event] = deque()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: HeadraceError | None = None
        self._ended: m.Ended | None = None
        self._epoch = 0
        self._range_due: float | None = None
        self._idle_due = 0.0
        self._progress_s = 0.0
        self.position: int | None = None
        """Everything below is decided and out: the hint for the group's offset."""
        self._carry_out: dict[type[Any], Callable[[Any], None]] = {
            m.AppendBlock: self._append_block,
            m.AppendClean: lambda a: self._append_outputs(a.ticket, names.clean, clean_batches(a)),
            m.AppendQuarantine: lambda a: self._append_outputs(
                a.ticket, names.quarantine, quarantine_batches(a)
            ),
            m.AppendEdges: lambda a: self._append_outputs(a.ticket, names.edges, edge_batches(a)),
            m.RangeDone: self._range_done,
            m.SeekRaw: self._seek,
            m.ReadIndex: lambda a: self._start(reads.index(a.position, self._take_index)),
            m.ReadRange: lambda a: self._answer(reads.range(a.start, a.end)),
            m.AskOrigin: lambda _: self._answer(reads.origin()),
            m.ReadAccepted: lambda a: self._answer(reads.accepted(a.above)),
            m.Recover: self._recover,
            m.Paused: self._pause,
            m.Stop: self._stop,
            m.Ended: self._end,
        }

    @property
    def component(self) -> str:
        """Its name in readiness, where the caller has put it down."""
        return self._reads.component

    def tell(self, event: m.Event) -> None:
        """Hand an event to the owner, in turn."""
        self._events.append(event)
        self._news.set()

    async def run(self) -> bool:
        """Own the partition until the end; whether that was clean. Raises the error with which the owner stopped."""
        component = self.component
        self._health.watch(component, self._stuck)
        self._progress_s = self._now()
        self._idle_due = self._now() + self._settings.dedup_idle_block_s
        try:
            self._answer(self._reads.begin())
            while self._ended is None:
                self._handle(await self._next_event())
        except HeadraceError as error:
            self._health.down(component, str(error))
            raise
        finally:
            self._feed.leave(self.names.raw)
            self._health.watch(component, lambda: None)
            await self._cancel_tasks()
        self._health.forget(component)
        return self._ended.clean

    # Events

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _next_event(self) -> m.Event:
        """What comes first; time passes as an event, and so does having nothing else to do."""
        while True:
            if self._failure is not None:
                raise self._failure
            if self._events:
                return self._events.popleft()
            if self.owner.may_proceed:
                if await self._still_nothing():
                    return m.Proceed()
            elif (due := self._take_due(self._now())) is not None:
                return due
            else:
                await self._wait_for_news()

    async def _still_nothing(self) -> bool:
        """Let appends that were just asked for leave before the processor is busy deciding."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
            if self._events or self._failure:
                return False
        return True

    async def _wait_for_news(self) -> None:
        self._news.clear()
        due = self._idle_due if self._range_due is None else min(self._range_due, self._idle_due)
        timer = asyncio.get_running_loop().call_at(due, self._news.set)
        try:
            await self._news.wait()
        finally:
            timer.cancel()

    def _take_due(self, now: float) -> m.Event | None:
        if self._range_due is not None and now >= self._range_due:
            self._range_due = None
            return m.RangeDue()
        if now >= self._idle_due:
            self._idle_due = now + self._settings.dedup_idle_block_s
            return m.IdleDue()
        return None

    def _handle(self, event: m.Event) -> None:
        owner = self.owner
        before, was = owner.buffered, owner.phase
        for action in owner.handle(event):
            self._carry_out[type(action)](action)
        self._progress_s = self._now()
        if not owner.buffered:
            self._range_due = None
        elif not before or owner.buffered < before:
            self._range_due = self._progress_s + self._settings.dedup_range_wait_s
        if owner.phase == "live" and was != "live":
            self._health.up(self.component)
        self._feed.hold(self.names.raw, not owner.wants_records)

    def _stuck(self) -> str | None:
        """Why the partition makes no progress although brokers answer and there is work."""
        now = self._now()
        silent_s = now - self._progress_s
        brokers_answer = now - self._feed.last_success_monotonic < _STUCK_AFTER_S / 2
        if silent_s < _STUCK_AFTER_S or self.owner.is_idle or self.owner.paused or not brokers_answer:
            return None
        return f"Nothing has happened for {silent_s:.0f} s in phase {self.owner.phase}."

    # Tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=self.component)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _answer(self, work: Coroutine[Any, Any, m.Event]) -> None:
        async def tell() -> None:
            self.tell(await work)

        self._start(tell())

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error if isinstance(error, HeadraceError) else _bug(error)
            self._news.set()

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)

    # Actions

    def _append_block(self, action: m.AppendBlock) -> None:
        async def append() -> None:
            deadline_s = self._settings.dedup_append_deadline_s
            try:
                offset = await self._log.writer.append(
                    self.names.index, block_batch(action), deadline_s=deadline_s
                )
            except Unavailable as error:
                self.tell(m.AppendFailed(action.ticket, str(error)))
            else:
                self.tell(m.BlockAppended(action.ticket, offset))

        self._idle_due = self._now() + self._settings.dedup_idle_block_s
        self._telemetry.block_sent(action)
        self._start(append())

    def _append_outputs(self, ticket: int, tp: TopicPartition, batches: Iterator[Batch]) -> None:
        async def append() -> None:
            try:
                for batch in batches:
                    await self._log.writer.append(
                        tp, batch, deadline_s=self._settings.dedup_append_deadline_s
                    )
            except Unavailable as error:
                self.tell(m.AppendFailed(ticket, str(error)))
            else:
                self.tell(m.OutputAppended(ticket))

        self._start(append())

    def _range_done(self, action: m.RangeDone) -> None:
        self.position = action.position
        self._telemetry.range_done(action, self._feed.lag(self.names.raw))

    def _seek(self, action: m.SeekRaw) -> None:
        self._epoch += 1
        epoch = self._epoch
        self._events = deque(event for event in self._events if not isinstance(event, m.RawRead))

        def sink(records: Records) -> None:
            if epoch == self._epoch:
                self._telemetry.records_read(records.next_offset)
                self.tell(m.RawRead(records.records, records.next_offset))

        self._feed.seek(self.names.raw, action.position, sink)

    async def _take_index(self, part: m.IndexRead) -> None:
        self.tell(part)
        while len(self._events) > 1:  # noqa: ASYNC110  (bounds what is read ahead of the owner)
            await asyncio.sleep(0)

    def _pause(self, action: m.Paused) -> None:
        _log.error("A partition is paused.", extra={**self._fields, "error": str(action.error)})
        self._health.down(self.component, str(action.error))

    def _stop(self, action: m.Stop) -> None:
        raise action.error

    def _end(self, action: m.Ended) -> None:
        self._ended = action

    @property
    def _fields(self) -> dict[str, object]:
        return {"partition": self.names.raw.partition, "position": self.owner.position}

    # Failure

    def _recover(self, action: m.Recover) -> None:
        self._reads.forget_accepted()
        self._telemetry.recovering(action)
        _log.warning("A partition recovers.", extra={**self._fields, "cause": action.cause})
        self._answer(self._confirm(action.wait_up_to_ms / 1000))

    async def _confirm(self, wait_up_to_s: float) -> m.Event:
        """New producers, the coordinator's word, then the wait (rule D5)."""
        await self._reads.until_answered(self._renew)
        if not await self._is_confirmed():
            return m.OwnershipLost()
        await asyncio.sleep(random.uniform(0, wait_up_to_s))  # noqa: S311  (spreads owners that meet)
        return m.OwnershipConfirmed()

    async def _renew(self) -> None:
        for tp in (self.names.index, self.names.clean, self.names.quarantine):
            await self._log.writer.recreate(tp, deadline_s=_RENEW_DEADLINE_S)
        # All owners of the process share this one. A late edge is a repeated edge, so only a failure asks for a new producer:
        # otherwise each recovery would fail what the others have on their way.
        if self._log.writer.failed(self.names.edges):
            await self._log.writer.recreate(self.names.edges, deadline_s=_RENEW_DEADLINE_S)

    async def _is_confirmed(self) -> bool:
        """The coordinator's successful answer, however long it takes; False where the partition is another's."""
        group, raw = self._log.group, self.names.raw
        async for _ in pauses():
            if group.generation >= 0 and raw not in group.owned:
                return False
            if await group.confirm_ownership(deadline_s=_CONFIRM_DEADLINE_S):
                return raw in group.owned
            self._health.down(self.component, "The group coordinator does not confirm the ownership.")
        raise AssertionError("pauses never end")


def _bug(error: BaseException) -> Bug:
    found = Bug("Something raised an error that is none of ours.", why=repr(error), code="internal")
    found.__cause__ = error
    return found
