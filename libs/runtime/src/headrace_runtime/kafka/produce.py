"""Gets sealed batches to the leaders of their partitions and the answers back.

Batches that become ready in the same turn of the event loop, or while requests to their leader are under way, share
one produce request. The caller (`writer`) has at most one batch per partition here, which keeps a partition's order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import NodeNotReadyError, for_code

from headrace_runtime.errors_log import AppendRefused, AppendTooLarge, AppendUnknown, LogUnavailable
from headrace_runtime.kafka.cluster import Cluster
from headrace_runtime.kafka.outcomes import Outcome, outcome_of
from headrace_runtime.kafka.wire import ProduceBatches
from headrace_runtime.ports_log import TopicPartition

__all__ = ["Dispatcher", "Parcel", "refused", "unknown"]

_log = logging.getLogger(__name__)
_MAX_REQUESTS_PER_NODE = 2
_MAX_REQUEST_BYTES = 32 << 20
_BACKOFF_S = 0.05
_SWEEP_S = 0.05
_MAX_BACKOFF_S = 1.0


@dataclass(slots=True, eq=False)
class Parcel:
    """A sealed batch under way. `answer` ends with its base offset, AppendRefused or AppendUnknown.

    `deadline` is in the loop's time. The caller may give up earlier by cancelling `answer`; after either, nothing is
    sent again. `maybe_appended` is set before the first byte leaves and only a broker's answer takes it back.
    """

    tp: TopicPartition
    data: bytes
    deadline: float
    answer: asyncio.Future[int]
    maybe_appended: bool = False
    attempts: int = 0
    last_error: str = ""


def refused(tp: TopicPartition, why: str) -> AppendRefused:
    """The error for records that are certainly not in the log."""
    return AppendRefused(
        f"Records for partition {tp.partition} of {tp.topic} were not appended.",
        why=why,
        fix="Recreate the writer for this partition, then append them again.",
        code="append_refused",
    )


def unknown(tp: TopicPartition, why: str) -> AppendUnknown:
    """The error for records that may be in the log."""
    return AppendUnknown(
        f"It is unknown whether records for partition {tp.partition} of {tp.topic} were appended.",
        why=why,
        fix="Recreate the writer for this partition; read the log, or append them again where a copy does no harm.",
        code="append_unknown",
    )


@dataclass(slots=True)
class _Lane:
    """What waits for one node and how many requests to it are under way."""

    ready: list[Parcel] = field(default_factory=list)
    requests: int = 0


class Dispatcher:
    """Sends parcels of one writer. `close` ends everything under way."""

    def __init__(self, cluster: Cluster, *, replication_timeout_s: float) -> None:
        self._cluster = cluster
        self._replication_timeout_ms = int(replication_timeout_s * 1000)
        self._lanes: defaultdict[int, _Lane] = defaultdict(_Lane)
        self._arrived: list[Parcel] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Parcel] = set()
        self._flush_due = False
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def submit(self, parcel: Parcel) -> None:
        """Take a parcel; it leaves at the end of this turn of the event loop at the earliest."""
        self._open.add(parcel)
        parcel.answer.add_done_callback(lambda _: self._open.discard(parcel))
        self._queue(parcel)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """End parcels past their deadline. One timer for all: a timer per batch costs more than its checksum."""
        now = self._loop.time()
        for parcel in [parcel for parcel in self._open if parcel.deadline <= now]:
            parcel.last_error = f"The deadline passed. {parcel.last_error}".strip()
            _end(parcel, too_large=False)
        # Done callbacks run later, so those just ended still count as open here; the next sweep sees them gone.
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep) if self._open else None

    def _queue(self, parcel: Parcel) -> None:
        self._arrived.append(parcel)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    async def close(self) -> None:
        """End every parcel as far as it is known, and the tasks."""
        for parcel in list(self._open):
            parcel.last_error = parcel.last_error or "The writer was stopped."
            _end(parcel, too_large=False)
        if self._sweeper is not None:
            self._sweeper.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _flush(self) -> None:
        self._flush_due = False
        arrived, self._arrived = self._arrived, []
        touched: set[int] = set()
        for parcel in arrived:
            if parcel.answer.done():
                continue
            node = self._cluster.leader(parcel.tp)
            if node is None:
                parcel.last_error = "No leader of the partition is known; the topic may be missing."
                self._spawn(self._retry([parcel], refresh=True))
            else:
                self._lanes[node].ready.append(parcel)
                touched.add(node)
        for node in touched:
            self._start_requests(node)

    def _start_requests(self, node: int) -> None:
        lane = self._lanes[node]
        while lane.ready and lane.requests < _MAX_REQUESTS_PER_NODE:
            parcels, size = [], 0
            while lane.ready and size < _MAX_REQUEST_BYTES:
                parcel = lane.ready.pop(0)
                if not parcel.answer.done():
                    parcels.append(parcel)
                    size += len(parcel.data)
            if parcels:
                lane.requests += 1
                self._spawn(self._request(node, parcels))

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work, name="kafka-produce")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _request(self, node: int, parcels: list[Parcel]) -> None:
        lane = self._lanes[node]
        try:
            again, refresh = await self._exchange(node, parcels)
        finally:
            lane.requests -= 1
            self._start_requests(node)
        if again:
            await self._retry(again, refresh=refresh)

    async def _exchange(self, node: int, parcels: list[Parcel]) -> tuple[list[Parcel], bool]:
        """Send once; returns what has to be sent again and whether metadata is suspect."""
        topics: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        before = [parcel.maybe_appended for parcel in parcels]
        for parcel in parcels:
            topics[parcel.tp.topic].append((parcel.tp.partition, parcel.data))
            parcel.maybe_appended = True
            parcel.attempts += 1
        request = ProduceBatches(list(topics.items()), timeout_ms=self._replication_timeout_ms)
        try:
            response = await self._cluster.send(node, request)
        except (NodeNotReadyError, LogUnavailable) as error:
            # No connection could be made, so nothing of this attempt has left.
            for parcel, was in zip(parcels, before, strict=True):
                parcel.maybe_appended, parcel.last_error = was, repr(error)
            return parcels, True
        except Exception as error:
            # Whatever the client raises, the outcome is equally unknown.
            for parcel in parcels:
                parcel.last_error = repr(error)
            _log.warning("A produce request got no answer.", extra={"node": node, "error": repr(error)})
            return parcels, True
        return self._settle(parcels, before, response)

    def _settle(self, parcels: list[Parcel], before: list[bool], response: Any) -> tuple[list[Parcel], bool]:
        answers = {
            (topic, entry[0]): (entry[1], entry[2]) for topic, entries in response.topics for entry in entries
        }
        again = []
        for parcel, was in zip(parcels, before, strict=True):
            code, offset = answers.get((parcel.tp.topic, parcel.tp.partition), (-1, -1))
            if self._conclude(parcel, was, code, offset):
                again.append(parcel)
        return again, bool(again)

    def _conclude(self, parcel: Parcel, was: bool, code: int, offset: int) -> bool:
        """Apply one partition's answer; True where the parcel has to be sent again."""
        outcome = outcome_of(code)
        if outcome is Outcome.APPENDED and offset >= 0:
            if not parcel.answer.done():
                parcel.answer.set_result(offset)
            return False
        parcel.last_error = f"The broker answered {for_code(code).__name__} (code {code})."
        if outcome is Outcome.RETRY:
            return True
        if outcome is Outcome.RETRY_NOT_APPENDED:
            parcel.maybe_appended = was
            return True
        if outcome in {Outcome.REFUSED, Outcome.TOO_LARGE}:
            parcel.maybe_appended = was
        _end(parcel, too_large=outcome is Outcome.TOO_LARGE)
        return False

    async def _retry(self, parcels: list[Parcel], *, refresh: bool) -> None:
        await asyncio.sleep(min(_BACKOFF_S * 2 ** max(p.attempts for p in parcels), _MAX_BACKOFF_S))
        if refresh and any(not parcel.answer.done() for parcel in parcels):
            await self._cluster.refresh()
        for parcel in parcels:
            if not parcel.answer.done():
                self._queue(parcel)


def _end(parcel: Parcel, *, too_large: bool) -> None:
    if parcel.answer.done():
        return
    if parcel.maybe_appended:
        parcel.answer.set_exception(unknown(parcel.tp, parcel.last_error))
    elif too_large:
        error = AppendTooLarge(
            f"A batch of {len(parcel.data)} bytes for partition {parcel.tp.partition} of {parcel.tp.topic} was not appended.",
            why=parcel.last_error,
            fix="Send fewer records in one batch, or raise max.message.bytes of the topic.",
            code="append_too_large",
        )
        parcel.answer.set_exception(error)
    else:
        parcel.answer.set_exception(refused(parcel.tp, parcel.last_error))
