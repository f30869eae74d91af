"""Ports of the log: what services ask of Kafka, free of any client library.

A *position* is the offset of the next record that a reader returns. Durations are seconds, sizes bytes,
timestamps milliseconds since 1970 UTC. Every call that reaches a broker takes a deadline. The adapters are
`headrace_runtime.kafka` (brokers) and `headrace_runtime.memory_log` (a log in this process); one contract suite
holds both to what is written here. The errors are in `headrace_runtime.errors_log`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = [
    "Batch",
    "GroupCoordination",
    "Header",
    "LogAdmin",
    "LogReader",
    "LogWriter",
    "Record",
    "RecordHeaders",
    "Records",
    "TopicDescription",
    "TopicPartition",
    "TopicSpec",
]

Header = tuple[str, bytes]
"""One record header: its name and its value."""

RecordHeaders = Sequence[Header] | bytes
"""The headers of one record: pairs, or a section that `headrace_runtime.record_headers` made once for many records."""


class Record(Protocol):
    """One record as read. Adapters hand out their client's own objects, so nothing is copied per record."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Append time in ms on topics with LogAppendTime, else the writer's time."""

    @property
    def key(self) -> bytes | None:
        """Key, or None."""

    @property
    def value(self) -> bytes | None:
        """Value, or None (a tombstone)."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Headers in the order in which they were written."""


@dataclass(frozen=True, slots=True)
class TopicPartition:
    """Name of one partition."""

    topic: str
    partition: int


class Records(NamedTuple):
    """Consecutive records of one partition.

    `next_offset` is the position after them; it also skips control batches and holes, so it may lie above the
    last record's offset + 1, and `records` may be empty where only such batches were read.
    """

    records: list[Record]
    next_offset: int


@dataclass(slots=True)
class Batch:
    """Columns of the records of one batch; all given columns have the same length, at least 1.

    `headers` holds one entry per record, or is None for records without headers.
    """

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[RecordHeaders] | None = None


class LogReader(Protocol):
    """Reads explicitly assigned partitions from explicit positions; it never moves a position by itself."""

    @property
    def last_success_monotonic(self) -> float:
        """`time.monotonic()` of the last answer of a broker without an error; a health check compares it."""

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """Connect. Raises LogUnavailable when no broker answers in time."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """Disconnect; returns within the deadline, whatever the brokers do."""

    def assign(self, partitions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions from these offsets; drops all that was read ahead and all pauses."""

    def pause(self, tp: TopicPartition) -> None:
        """Return no records of the partition until `resume`; its position stays."""

    def resume(self, tp: TopicPartition) -> None:
        """Undo `pause`."""

    def position(self, tp: TopicPartition) -> int:
        """Offset after the last record returned by `fetch`; KeyError where not assigned."""

    def lag(self, tp: TopicPartition) -> int | None:
        """Records between the position and the end, as of the last answer of a broker; None before the first.

        KeyError where not assigned.
        """

    async def fetch(self, *, max_wait_s: float, max_records: int = 10_000) -> dict[TopicPartition, Records]:
        """Records that came within `max_wait_s`, at most `max_records` in all; {} when none came.

        Unreachable brokers, moved leaders and missing topics are retried inside and look like silence here.
        Raises PositionOutOfRange, LogAccessDenied or LogCorrupt.
        """

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """Offset that the next record of each partition will get. Raises LogUnavailable, LogAccessDenied."""

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """Lowest offset that is still readable in each partition. Raises LogUnavailable, LogAccessDenied."""


class LogWriter(Protocol):
    """Appends batches: acknowledged by all in-sync replicas, in order, each at most once.

    A partition has one batch in flight; further callers wait in the order in which they came. The first append
    that fails ends the writer for its partition: those waiting and all later ones are refused until `recreate`.
    """

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of encoded batches that wait or are on their way."""

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """Connect. Raises LogUnavailable when no broker answers in time."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """Disconnect; appends still under way end as AppendUnknown or AppendRefused."""

    async def append(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> int:
        """Append the batch as one record batch and return the offset of its first record.

        Raises AppendRefused (certainly not appended) or AppendUnknown (may stand in the log, now or later, or
        its offset was not told).
        """

    async def append_all(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> list[int]:
        """Append as several record batches of bounded size, in order; the offset of every record.

        Where it fails, a first part of the records may have been appended: the error is AppendUnknown then.
        """

    def failed(self, tp: TopicPartition) -> bool:
        """Whether the partition refuses appends until `recreate`."""

    async def recreate(self, tp: TopicPartition | None = None, *, deadline_s: float) -> None:
        """Start afresh for one partition, or for all, under a new producer id. Raises LogUnavailable."""


class GroupCoordination(Protocol):
    """Shares the partitions of topics among the members of a group; committed offsets are only hints.

    A member learns of changes by looking at `generation` and `owned`; nothing is called back.
    """

    @property
    def owned(self) -> frozenset[TopicPartition]:
        """Partitions that the group gave to this member; empty while members are being regrouped."""

    @property
    def generation(self) -> int:
        """Rises with every regrouping; -1 before the first and while regrouping."""

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """Join. Returns when the first assignment is known. Raises LogUnavailable."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """Leave the group."""

    async def changed(self, generation: int, *, max_wait_s: float) -> bool:
        """Wait until `generation` is no longer the given one; False when the time passed first."""

    async def confirm_ownership(self, *, deadline_s: float) -> bool:
        """Whether the group coordinator answered, within the deadline, that this generation is current (D5)."""

    async def commit(self, offsets: Mapping[TopicPartition, int], *, deadline_s: float) -> bool:
        """Store positions as a hint; False where the coordinator refused or did not answer."""

    async def committed(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """Stored positions; partitions without one are left out. Raises LogUnavailable."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create; `config` holds broker-side settings by their Kafka names."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the cluster knows it; `topic_id` differs when a topic was deleted and made anew."""

    name: str
    topic_id: str
    partitions: int
    replication: int


class LogAdmin(Protocol):
    """Creates and describes topics."""

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """Connect. Raises LogUnavailable."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """Disconnect."""

    async def cluster_id(self, *, deadline_s: float = 30.0) -> str:
        """Identity of the cluster; another id means another log. Raises LogUnavailable."""

    async def create_topics(
        self, topics: Collection[TopicSpec], *, deadline_s: float = 30.0
    ) -> frozenset[str]:
        """Create what is missing and return the names created. An existing topic is left as it is.

        Raises TopicRefused where the cluster does not accept a definition, LogUnavailable.
        """

    async def describe(
        self, names: Collection[str], *, deadline_s: float = 30.0
    ) -> dict[str, TopicDescription]:
        """Descriptions of the topics that exist. Raises LogUnavailable."""

    async def configs(self, names: Collection[str], *, deadline_s: float = 30.0) -> dict[str, dict[str, str]]:
        """Effective settings by topic, of the topics that exist. Raises LogUnavailable."""

    async def delete_records(self, before: Mapping[TopicPartition, int], *, deadline_s: float = 30.0) -> None:
        """Make records below the offsets unreadable (tests of retention). Raises LogUnavailable."""

    async def delete_topics(self, names: Collection[str], *, deadline_s: float = 30.0) -> None:
        """Delete topics; one that does not exist is passed over. Raises LogUnavailable."""
