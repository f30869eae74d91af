"""Appends batches to partitions: acknowledged by all in-sync replicas, in order, each at most once.

One batch per partition is in flight. Producer id and sequence let the broker drop a batch that arrives twice, so a
request without an answer is sent again, unchanged, until the caller's deadline, and never after it: a batch that the
caller gave up on cannot surface because this client sends it once more (it may because the broker still holds it).
Any failure ends the partition's lane until `recreate` starts a new one under a new producer id (rules A3, D5).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiokafka.errors import NodeNotReadyError, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from headrace_runtime.errors_log import AppendRefused, AppendTooLarge
from headrace_runtime.kafka.batch_codec import (
    BATCH_OVERHEAD_BYTES,
    BatchEncoder,
    EncodedBatch,
    seal_batch,
)
from headrace_runtime.kafka.cluster import Cluster
from headrace_runtime.kafka.connection import KafkaConnection
from headrace_runtime.kafka.produce import Dispatcher, Parcel, refused, unknown
from headrace_runtime.ports_log import Batch, TopicPartition
from headrace_runtime.split_batch import split_batch

__all__ = ["KafkaLogWriter"]

_MAX_WAITING = 64
_NO_TRANSACTION_TIMEOUT_MS = 2**31 - 1


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class _Lane:
    """Producer state of one partition. `failed` is final: `recreate` makes another lane."""

    __slots__ = ("failed", "lock", "producer_epoch", "producer_id", "sequence", "waiting")

    def __init__(self, producer_id: int, producer_epoch: int) -> None:
        self.producer_id, self.producer_epoch, self.sequence = producer_id, producer_epoch, 0
        self.lock, self.waiting = asyncio.Lock(), 0
        self.failed = ""


class KafkaLogWriter:
    """`LogWriter` on Kafka.

    `max_batch_bytes` is the brokers' limit for one encoded batch; `append_all` cuts at `split_bytes` of raw records.
    A producer id is given up before a partition's sequence passes `max_sequence`.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        max_batch_bytes: int = 8 << 20,
        split_bytes: int = 4 << 20,
        zstd_level: int = 1,
        max_sequence: int = 1_000_000_000,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        self._cluster = Cluster(connection)
        self._replication_timeout_s = connection.request_timeout_s * 0.8
        self._max_batch_bytes, self._split_bytes = max_batch_bytes, split_bytes
        self._encoder, self._now_ms = BatchEncoder(zstd_level), now_ms
        self._max_sequence = max_sequence
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._identity = (-1, -1)
        self._dispatcher: Dispatcher | None = None
        self._bytes_in_flight = 0

    @property
    def bytes_in_flight(self) -> int:
        """See `LogWriter`."""
        return self._bytes_in_flight

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `LogWriter`."""
        until = time.monotonic() + deadline_s
        await self._cluster.open(deadline_s=deadline_s)
        try:
            self._identity = await self._new_identity(until - time.monotonic())
        except BaseException:
            await self._cluster.close(deadline_s=1.0)
            raise
        self._dispatcher = Dispatcher(self._cluster, replication_timeout_s=self._replication_timeout_s)

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `LogWriter`."""
        for lane in self._lanes.values():
            lane.failed = lane.failed or "The writer was stopped."
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            await dispatcher.close()
        await self._cluster.close(deadline_s=deadline_s)

    def failed(self, tp: TopicPartition) -> bool:
        """See `LogWriter`."""
        lane = self._lanes.get(tp)
        return lane is not None and bool(lane.failed)

    async def recreate(self, tp: TopicPartition | None = None, *, deadline_s: float) -> None:
        """See `LogWriter`."""
        identity = await self._new_identity(deadline_s)
        for target in [tp] if tp is not None else list(self._lanes):
            if old := self._lanes.get(target):
                old.failed = old.failed or "The writer was recreated."
            self._lanes[target] = _Lane(*identity)
        if tp is None:
            self._identity = identity

    async def append(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> int:
        """See `LogWriter`. A batch over `max_batch_bytes` is refused here, without being sent."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        lane = self._lane(tp)
        encoded = self._encoder.encode(batch)
        size = len(encoded.section) + BATCH_OVERHEAD_BYTES
        self._bytes_in_flight += size
        lane.waiting += 1
        try:
            await self._turn(lane, tp, deadline)
            try:
                return await self._append_now(lane, tp, encoded, deadline)
            finally:
                lane.lock.release()
        except BaseException as error:
            # Cancellation too: whoever waits behind must not be appended after a batch that perhaps is missing.
            lane.failed = lane.failed or f"An append failed before: {error!r}"
            raise
        finally:
            lane.waiting -= 1
            self._bytes_in_flight -= size

    async def append_all(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> list[int]:
        """See `LogWriter`."""
        until = time.monotonic() + deadline_s
        offsets: list[int] = []
        for part in split_batch(batch, max_bytes=self._split_bytes):
            try:
                base = await self.append(tp, part, deadline_s=until - time.monotonic())
            except AppendRefused as error:
                if offsets:
                    raise unknown(
                        tp, f"The first {len(offsets)} records were appended, then: {error}"
                    ) from error
                raise
            offsets += range(base, base + len(part.values))
        return offsets

    def _lane(self, tp: TopicPartition) -> _Lane:
        if self._dispatcher is None:
            raise refused(tp, "The writer was not started, or was stopped.")
        lane = self._lanes.get(tp)
        if lane is None:
            lane = self._lanes[tp] = _Lane(*self._identity)
        if lane.failed:
            raise refused(tp, lane.failed)
        if lane.waiting >= _MAX_WAITING:
            raise refused(tp, f"{lane.waiting} batches wait for this partition already.")
        return lane

    async def _turn(self, lane: _Lane, tp: TopicPartition, deadline: float) -> None:
        """Wait for the lane's lock; it is held when this returns."""
        try:
            if lane.waiting == 1:
                await lane.lock.acquire()  # nobody else is there; a timer would cost more than the lock
            else:
                async with asyncio.timeout_at(deadline):
                    await lane.lock.acquire()
        except TimeoutError as error:
            raise refused(tp, "The deadline passed before its turn came.") from error
        if lane.failed:
            lane.lock.release()
            raise refused(tp, lane.failed)

    async def _append_now(
        self, lane: _Lane, tp: TopicPartition, encoded: EncodedBatch, deadline: float
    ) -> int:
        if self._dispatcher is None:
            raise refused(tp, "The writer was stopped.")
        if lane.sequence + encoded.records > self._max_sequence:
            # aiokafka and brokers wrap sequences differently; a fresh producer id never gets there.
            left = deadline - asyncio.get_running_loop().time()
            lane.producer_id, lane.producer_epoch = await self._new_identity(left)
            lane.sequence = 0
        parcel = self._parcel(lane, tp, encoded, deadline)
        self._dispatcher.submit(parcel)
        try:
            offset = await parcel.answer
        finally:
            parcel.answer.cancel()
        lane.sequence += encoded.records
        return offset

    def _parcel(self, lane: _Lane, tp: TopicPartition, encoded: EncodedBatch, deadline: float) -> Parcel:
        data = seal_batch(
            encoded,
            timestamp_ms=self._now_ms(),
            producer_id=lane.producer_id,
            producer_epoch=lane.producer_epoch,
            sequence=lane.sequence,
        )
        if len(data) > self._max_batch_bytes:
            raise AppendTooLarge(
                f"A batch of {encoded.records} records has {len(data)} bytes, over the limit of {self._max_batch_bytes}.",
                why="Brokers take no larger batch.",
                fix="Append fewer records at once, or use append_all.",
                code="append_too_large",
            )
        return Parcel(tp=tp, data=data, deadline=deadline, answer=asyncio.get_running_loop().create_future())

    async def _new_identity(self, deadline_s: float) -> tuple[int, int]:
        """A producer id and its epoch. Raises LogUnavailable, LogAccessDenied."""

        async def ask() -> tuple[int, int]:
            node = self._cluster.any_node()
            if node is None:
                raise NodeNotReadyError("no broker is known")
            answer = await self._cluster.send(node, InitProducerIdRequest(None, _NO_TRANSACTION_TIMEOUT_MS))
            if answer.error_code:
                raise for_code(answer.error_code)
            return answer.producer_id, answer.producer_epoch

        return await self._cluster.until(ask, deadline_s=deadline_s, subject="a producer id")
