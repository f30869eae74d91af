"""Collects records of many concurrent requests into one batch per partition and tells each request its offsets.

A batch leaves when it is full, or after a short linger; while the partition's previous batch is under way, the next
one goes on growing, so load makes batches larger instead of queues longer. There is exactly one sender per partition.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from headrace_core.errors import Bug, HeadraceError
from headrace_runtime.errors_log import AppendRefused, AppendUnknown, LogUnavailable
from headrace_runtime.ports_log import Batch, LogWriter, RecordHeaders, TopicPartition

__all__ = ["Batcher"]

_log = logging.getLogger(__name__)
_RECREATE_S = 5.0
_RECREATE_PAUSE_S = 0.2


class _Request:
    """One `add`: the batch and the row of each event, and how many batches it still waits for.

    Two lists and no list of pairs: a tuple per event is what the garbage collector would mostly be busy with.
    """

    __slots__ = ("batches", "error", "future", "rows", "waits_for")

    def __init__(self, future: asyncio.Future[list[int]]) -> None:
        self.future, self.waits_for = future, 0
        self.batches: list[_Open] = []
        self.rows: list[int] = []
        self.error: HeadraceError | None = None

    def conclude(self, error: HeadraceError | None) -> None:
        """One of the batches ended; the last one ends the request. An unknown outcome outweighs a refusal."""
        if error is not None and (self.error is None or isinstance(error, AppendUnknown)):
            self.error = error
        self.waits_for -= 1
        if self.waits_for or self.future.done():
            return
        if self.error is None:
            self.future.set_result(
                [batch.base + row for batch, row in zip(self.batches, self.rows, strict=True)]
            )
        else:
            self.future.set_exception(self.error)
            self.future.exception()  # an outcome that its caller no longer waits for is not worth a warning


class _Open:
    """A batch that grows until it leaves. `base` is its first offset once it is acknowledged."""

    __slots__ = ("base", "deadline", "headers", "keys", "requests", "size", "values")

    def __init__(self, deadline: float) -> None:
        self.keys: list[bytes | None] = []
        self.values: list[bytes | None] = []
        self.headers: list[RecordHeaders] = []
        self.requests: list[_Request] = []
        self.size, self.base, self.deadline = 0, -1, deadline

    def conclude(self, error: HeadraceError | None) -> None:
        """Tell every request that has events in this batch."""
        for request in self.requests:
            request.conclude(error)


class _Lane:
    """A partition: full batches that wait, the growing one, and whether its linger has passed."""

    __slots__ = ("due", "full", "growing", "tp", "wake")

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.full: deque[_Open] = deque()
        self.growing: _Open | None = None
        self.due, self.wake = False, asyncio.Event()

    def next_batch(self) -> _Open | None:
        """The batch to send now, if any."""
        if self.full:
            return self.full.popleft()
        if self.due and self.growing is not None:
            batch, self.growing, self.due = self.growing, None, False
            return batch
        return None


class Batcher:
    """Batches records for one topic on a started `LogWriter`. Create it inside the event loop.

    `max_records` and `max_bytes` (keys and values, not compressed) close a batch; `linger_s` is the longest wait of
    the first record of a batch while nothing is under way; `deadline_s` counts from the first record of a batch;
    past `max_bytes_in_flight` every `add` is refused.
    """

    def __init__(
        self,
        writer: LogWriter,
        topic: str,
        partitions: int,
        *,
        max_records: int = 1000,
        max_bytes: int = 2 << 20,
        linger_s: float = 0.004,
        deadline_s: float = 10.0,
        max_bytes_in_flight: int = 256 << 20,
    ) -> None:
        self._writer, self._max_records, self._max_bytes = writer, max_records, max_bytes
        self._linger_s, self._deadline_s = linger_s, deadline_s
        self._max_bytes_in_flight = max_bytes_in_flight
        self._loop = asyncio.get_running_loop()
        self._lanes = [_Lane(TopicPartition(topic, partition)) for partition in range(partitions)]
        self._linger: asyncio.TimerHandle | None = None
        self._bytes_in_flight = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._senders = [
            self._loop.create_task(self._send(lane), name=f"batcher-{topic}-{lane.tp.partition}")
            for lane in self._lanes
        ]

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of keys and values of all records that were added and have no outcome yet."""
        return self._bytes_in_flight

    def add(
        self,
        partitions: Sequence[int],
        keys: Sequence[bytes | None],
        values: Sequence[bytes],
        headers: Sequence[RecordHeaders],
    ) -> asyncio.Future[list[int]]:
        """Take the events of one request (columns of equal length, at least one event).

        The future ends with the offset of each event in its partition, after all of them are acknowledged, or with
        AppendUnknown or AppendRefused (then some of the events may still have been appended). Cancelling it changes
        nothing about the records. Raises AppendRefused when full or closed, ValueError for columns that do not fit: then
        nothing was taken.
        """
        if not len(partitions) == len(keys) == len(values) == len(headers) > 0:
            raise ValueError("the columns of a request have one length, at least 1")
        if min(partitions) < 0 or max(partitions) >= len(self._lanes):
            raise ValueError(f"a partition of a request is not within 0 to {len(self._lanes) - 1}")
        size = sum(map(len, values))
        if self._closed or self._bytes_in_flight + size > self._max_bytes_in_flight:
            raise self._refusal()
        request = _Request(self._loop.create_future())
        batches, places, lanes, linger = request.batches, request.rows, self._lanes, False
        for partition, key, value, header in zip(partitions, keys, values, headers, strict=False):
            lane = lanes[partition]
            batch = lane.growing
            if batch is None:
                batch = lane.growing = _Open(self._loop.time() + self._deadline_s)
                linger = True
            rows = batch.values
            batches.append(batch)
            places.append(len(rows))
            batch.keys.append(key)
            rows.append(value)
            batch.headers.append(header)
            batch.size += len(value)
            # A request's events of one batch are added in one go, so it is the last one there or not in it yet.
            if not batch.requests or batch.requests[-1] is not request:
                batch.requests.append(request)
                request.waits_for += 1
            if len(rows) >= self._max_records or batch.size >= self._max_bytes:
                lane.full.append(batch)
                lane.growing, lane.due = None, False
                lane.wake.set()
        self._bytes_in_flight += size
        self._idle.clear()
        if linger and self._linger is None:
            self._linger = self._loop.call_later(self._linger_s, self._linger_passed)
        return request.future

    async def drain(self, *, deadline_s: float) -> bool:
        """Send all that was added without further linger; False where outcomes are missing at the deadline."""
        self._linger_passed()
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        return self._idle.is_set()

    async def close(self, *, deadline_s: float) -> bool:
        """Refuse further events, drain, and end. Requests without an outcome by then end as AppendUnknown."""
        self._closed = True
        drained = await self.drain(deadline_s=deadline_s)
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        for lane in self._lanes:
            waiting = [*lane.full, *([lane.growing] if lane.growing else [])]
            lane.full.clear()
            lane.growing = None
            for batch in waiting:
                self._conclude(batch, self._refusal())
        return drained

    def _refusal(self) -> AppendRefused:
        if self._closed:
            why, fix = "This process is stopping.", "Send them again; another instance takes them."
        else:
            why, fix = (
                "More bytes wait for acknowledgement than is allowed.",
                "Send them again later, or slower.",
            )
        return AppendRefused("Events were not taken.", why=why, fix=fix, code="batcher_refused")

    def _linger_passed(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        for lane in self._lanes:
            if lane.growing is not None:
                lane.due = True
                lane.wake.set()

    async def _send(self, lane: _Lane) -> None:
        """The only task that appends to this partition."""
        while True:
            batch = lane.next_batch()
            if batch is None:
                lane.wake.clear()
                await lane.wake.wait()
                continue
            try:
                error = await self._append(lane.tp, batch)
            except asyncio.CancelledError:
                self._conclude(batch, self._lost(lane.tp))
                raise
            self._conclude(batch, error)
            if self._writer.failed(lane.tp):
                await self._recreate(lane.tp)

    async def _append(self, tp: TopicPartition, batch: _Open) -> HeadraceError | None:
        left = batch.deadline - self._loop.time()
        try:
            columns = Batch(batch.keys, batch.values, batch.headers)
            batch.base = await self._writer.append(tp, columns, deadline_s=left)
        except HeadraceError as error:
            _log.warning("A batch was not acknowledged.", extra={"tp": str(tp), "error": str(error)})
            return error
        except Exception as error:
            # The sender must outlive any surprise, or the partition would wait forever.
            _log.exception("A batch could not be appended.", extra={"tp": str(tp)})
            return Bug(
                f"Records for partition {tp.partition} of {tp.topic} could not be appended.",
                why=repr(error),
                fix="Report it with the log of this process.",
                code="batcher_bug",
            )
        return None

    async def _recreate(self, tp: TopicPartition) -> None:
        """One attempt at a new producer; the next batch fails by its deadline where none can be had."""
        try:
            await self._writer.recreate(tp, deadline_s=_RECREATE_S)
        except LogUnavailable as error:
            _log.warning("The writer cannot be recreated yet.", extra={"tp": str(tp), "error": str(error)})
            await asyncio.sleep(_RECREATE_PAUSE_S)

    def _lost(self, tp: TopicPartition) -> AppendUnknown:
        return AppendUnknown(
            f"Events for partition {tp.partition} of {tp.topic} were under way when this process stopped.",
            why="Their acknowledgement did not come before the deadline of the stop.",
            fix="Send them again; duplicates are removed downstream.",
            code="append_unknown",
        )

    def _conclude(self, batch: _Open, error: HeadraceError | None) -> None:
        self._bytes_in_flight -= batch.size
        batch.conclude(error)
        if not self._bytes_in_flight:
            self._idle.set()
