"""The log ports in this process: for unit tests, simulations and planted faults.

Same contract as `headrace_runtime.kafka`. One `MemoryLog` is the cluster; adapters made on it see the same topics.
Time and faults come from outside: `now_ms` stamps appends, `MemoryLog.faults` decides about the next appends.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from headrace_runtime.errors_log import (
    AppendRefused,
    AppendTooLarge,
    AppendUnknown,
    LogUnavailable,
    PositionOutOfRange,
    TopicRefused,
)
from headrace_runtime.ports_log import Batch, Header, Records, TopicDescription, TopicPartition, TopicSpec
from headrace_runtime.record_headers import header_pairs
from headrace_runtime.split_batch import split_batch

__all__ = ["AppendFault", "MemoryLog", "MemoryLogAdmin", "MemoryLogReader", "MemoryLogWriter", "MemoryRecord"]


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """A stored record; satisfies `ports_log.Record`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class AppendFault:
    """What becomes of one append: whether it lands, and whether the caller hears so (`answered`)."""

    appended: bool
    answered: bool = False


@dataclass(slots=True)
class _Partition:
    """`base` is the offset of `records[0]`, or of the next append where there is none."""

    base: int = 0
    records: list[MemoryRecord] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.base + len(self.records)


@dataclass(slots=True)
class _Topic:
    spec: TopicSpec
    topic_id: str
    partitions: list[_Partition]


class MemoryLog:
    """A cluster of topics in memory. `cluster_id` and `now_ms` are given so that runs can be repeated."""

    def __init__(self, *, cluster_id: str = "memory", now_ms: Callable[[], int] | None = None) -> None:
        self.cluster_id = cluster_id
        self.now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.faults: defaultdict[TopicPartition, deque[AppendFault]] = defaultdict(deque)
        self._topics: dict[str, _Topic] = {}
        self._made = 0
        self._grown = asyncio.Event()

    def create(self, spec: TopicSpec) -> bool:
        """Create a topic; False where it exists. Raises TopicRefused."""
        if spec.name in self._topics:
            return False
        if spec.partitions < 1 or not spec.name:
            raise TopicRefused(
                f"Topic {spec.name!r} was not created.",
                why=f"It would have {spec.partitions} partitions.",
                fix="Give it a name and at least one partition.",
                code="topic_refused",
            )
        self._made += 1
        partitions = [_Partition() for _ in range(spec.partitions)]
        self._topics[spec.name] = _Topic(spec, f"{self.cluster_id}-{self._made}", partitions)
        return True

    def delete(self, name: str) -> None:
        """Delete a topic if it exists."""
        self._topics.pop(name, None)

    def topic(self, name: str) -> tuple[TopicSpec, str] | None:
        """Definition and id of a topic."""
        found = self._topics.get(name)
        return (found.spec, found.topic_id) if found else None

    def partition(self, tp: TopicPartition) -> _Partition | None:
        """The partition, or None where topic or partition do not exist."""
        topic = self._topics.get(tp.topic)
        if topic is None or not 0 <= tp.partition < len(topic.partitions):
            return None
        return topic.partitions[tp.partition]

    def append(self, partition: _Partition, batch: Batch) -> int:
        """Store the records of a batch; the offset of its first one."""
        base, now = partition.end, self.now_ms()
        headers = batch.headers if batch.headers is not None else [()] * len(batch.values)
        for index, (key, value, entry) in enumerate(zip(batch.keys, batch.values, headers, strict=True)):
            pairs = header_pairs(entry) if isinstance(entry, bytes) else entry
            partition.records.append(MemoryRecord(base + index, now, key, value, tuple(pairs)))
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return base

    def truncate(self, tp: TopicPartition, before: int) -> None:
        """Make records below an offset unreadable."""
        partition = self.partition(tp)
        if partition is not None and before > partition.base:
            before = min(before, partition.end)
            del partition.records[: before - partition.base]
            partition.base = before

    def add_hole(self, tp: TopicPartition, offsets: int) -> None:
        """Skip offsets at the end, as control batches do; only for an empty partition or one read to its end."""
        partition = self.partition(tp)
        if partition is not None:
            partition.base, partition.records = partition.end + offsets, []

    async def grown(self) -> None:
        """Wait for the next append anywhere."""
        await self._grown.wait()


def _missing(tp: TopicPartition) -> LogUnavailable:
    return LogUnavailable(
        f"Partition {tp.partition} of {tp.topic} does not exist.",
        why="No such topic was created, or it has fewer partitions.",
        fix="Create the topic first.",
        code="log_unavailable",
    )


class MemoryLogReader:
    """`LogReader` on a MemoryLog."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._last_success = time.monotonic()

    @property
    def last_success_monotonic(self) -> float:
        """See `LogReader`."""
        return self._last_success

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `LogReader`."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `LogReader`."""

    def assign(self, partitions: Mapping[TopicPartition, int]) -> None:
        """See `LogReader`."""
        self._positions, self._paused = dict(partitions), set()

    def pause(self, tp: TopicPartition) -> None:
        """See `LogReader`."""
        self._positions[tp]
        self._paused.add(tp)

    def resume(self, tp: TopicPartition) -> None:
        """See `LogReader`."""
        self._positions[tp]
        self._paused.discard(tp)

    def position(self, tp: TopicPartition) -> int:
        """See `LogReader`."""
        return self._positions[tp]

    def lag(self, tp: TopicPartition) -> int | None:
        """See `LogReader`."""
        position, partition = self._positions[tp], self._log.partition(tp)
        return None if partition is None else max(0, partition.end - position)

    async def fetch(self, *, max_wait_s: float, max_records: int = 10_000) -> dict[TopicPartition, Records]:
        """See `LogReader`."""
        await asyncio.sleep(0)
        taken = self._take(max_records)
        if not taken:
            try:
                async with asyncio.timeout(max_wait_s):
                    while not taken:
                        await self._log.grown()
                        taken = self._take(max_records)
            except TimeoutError:
                return {}
        self._last_success = time.monotonic()
        return taken

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """See `LogReader`."""
        return {tp: self._existing(tp).end for tp in partitions}

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """See `LogReader`."""
        return {tp: self._existing(tp).base for tp in partitions}

    def _existing(self, tp: TopicPartition) -> _Partition:
        partition = self._log.partition(tp)
        if partition is None:
            raise _missing(tp)
        return partition

    def _take(self, max_records: int) -> dict[TopicPartition, Records]:
        taken: dict[TopicPartition, Records] = {}
        for tp, position in list(self._positions.items()):
            partition = self._log.partition(tp)
            if partition is None:
                continue
            if not partition.base <= position <= partition.end:
                raise PositionOutOfRange(
                    f"Offset {position} lies outside the log of partition {tp.partition} of {tp.topic}.",
                    why=f"It holds offsets {partition.base} to {partition.end}.",
                    fix="Compare the topic id with the one in the manifests; then follow the runbook for a lost position.",
                    code="position_out_of_range",
                )
            if tp in self._paused or position == partition.end or max_records <= 0:
                continue
            start = position - partition.base
            found = list(partition.records[start : start + max_records])
            max_records -= len(found)
            # To the end, so that a small limit does not starve the partitions behind this one.
            del self._positions[tp]
            self._positions[tp] = position + len(found)
            taken[tp] = Records([*found], position + len(found))
        return taken


class MemoryLogWriter:
    """`LogWriter` on a MemoryLog. `max_batch_bytes` bounds the keys and values of one batch."""

    def __init__(self, log: MemoryLog, *, max_batch_bytes: int = 8 << 20, split_bytes: int = 4 << 20) -> None:
        self._log, self._max_batch_bytes, self._split_bytes = log, max_batch_bytes, split_bytes
        self._failed: dict[TopicPartition, str] = {}
        self._started = False

    @property
    def bytes_in_flight(self) -> int:
        """See `LogWriter`; always 0, an append here does not wait."""
        return 0

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `LogWriter`."""
        self._started = True

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `LogWriter`."""
        self._started = False

    def failed(self, tp: TopicPartition) -> bool:
        """See `LogWriter`."""
        return tp in self._failed

    async def recreate(self, tp: TopicPartition | None = None, *, deadline_s: float) -> None:
        """See `LogWriter`."""
        for target in [tp] if tp is not None else list(self._failed):
            self._failed.pop(target, None)

    async def append(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> int:
        """See `LogWriter`. A partition that does not exist is refused at once."""
        count = len(batch.values)
        if (
            not count
            or len(batch.keys) != count
            or (batch.headers is not None and len(batch.headers) != count)
        ):
            raise ValueError("the columns of a batch have one length, at least 1")
        await asyncio.sleep(0)
        if not self._started:
            raise self._refused(tp, "The writer was not started, or was stopped.")
        if tp in self._failed:
            raise self._refused(tp, self._failed[tp])
        try:
            return self._append_now(tp, batch)
        except (AppendRefused, AppendUnknown) as error:
            self._failed[tp] = f"An append failed before: {error!r}"
            raise

    async def append_all(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> list[int]:
        """See `LogWriter`."""
        offsets: list[int] = []
        for part in split_batch(batch, max_bytes=self._split_bytes):
            try:
                base = await self.append(tp, part, deadline_s=deadline_s)
            except AppendRefused as error:
                if offsets:
                    raise self._unknown(tp, f"The first {len(offsets)} records were appended.") from error
                raise
            offsets += range(base, base + len(part.values))
        return offsets

    def _append_now(self, tp: TopicPartition, batch: Batch) -> int:
        partition = self._log.partition(tp)
        if partition is None:
            raise self._refused(tp, "The partition does not exist.")
        size = sum(len(part or b"") for part in (*batch.keys, *batch.values))
        if size > self._max_batch_bytes:
            raise AppendTooLarge(
                f"A batch of {size} bytes was not appended.",
                why=f"The limit is {self._max_batch_bytes} bytes.",
                fix="Append fewer records at once, or use append_all.",
                code="append_too_large",
            )
        faults = self._log.faults[tp]
        fault = faults.popleft() if faults else AppendFault(appended=True, answered=True)
        offset = self._log.append(partition, batch) if fault.appended else -1
        if fault.appended and fault.answered:
            return offset
        if fault.answered:
            raise self._refused(tp, "A planted fault.")
        raise self._unknown(tp, "A planted fault.")

    @staticmethod
    def _refused(tp: TopicPartition, why: str) -> AppendRefused:
        return AppendRefused(
            f"Records for partition {tp.partition} of {tp.topic} were not appended.",
            why=why,
            fix="Recreate the writer for this partition, then append them again.",
            code="append_refused",
        )

    @staticmethod
    def _unknown(tp: TopicPartition, why: str) -> AppendUnknown:
        return AppendUnknown(
            f"It is unknown whether records for partition {tp.partition} of {tp.topic} were appended.",
            why=why,
            fix="Recreate the writer for this partition; read the log, or append them again where a copy does no harm.",
            code="append_unknown",
        )


class MemoryLogAdmin:
    """`LogAdmin` on a MemoryLog."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `LogAdmin`."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `LogAdmin`."""

    async def cluster_id(self, *, deadline_s: float = 30.0) -> str:
        """See `LogAdmin`."""
        return self._log.cluster_id

    async def create_topics(
        self, topics: Collection[TopicSpec], *, deadline_s: float = 30.0
    ) -> frozenset[str]:
        """See `LogAdmin`."""
        return frozenset(spec.name for spec in topics if self._log.create(spec))

    async def describe(
        self, names: Collection[str], *, deadline_s: float = 30.0
    ) -> dict[str, TopicDescription]:
        """See `LogAdmin`."""
        found = {name: self._log.topic(name) for name in names}
        return {
            name: TopicDescription(name, entry[1], entry[0].partitions, entry[0].replication)
            for name, entry in found.items()
            if entry is not None
        }

    async def configs(self, names: Collection[str], *, deadline_s: float = 30.0) -> dict[str, dict[str, str]]:
        """See `LogAdmin`; only what the definitions state."""
        found = {name: self._log.topic(name) for name in names}
        return {name: dict(entry[0].config) for name, entry in found.items() if entry is not None}

    async def delete_records(self, before: Mapping[TopicPartition, int], *, deadline_s: float = 30.0) -> None:
        """See `LogAdmin`."""
        for tp, offset in before.items():
            if self._log.partition(tp) is None:
                raise _missing(tp)
            self._log.truncate(tp, offset)

    async def delete_topics(self, names: Collection[str], *, deadline_s: float = 30.0) -> None:
        """See `LogAdmin`."""
        for name in names:
            self._log.delete(name)
