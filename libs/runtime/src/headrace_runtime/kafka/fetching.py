"""State of what a reader fetches: positions, data read ahead, errors. Pure: no network, no clock.

Of each partition at most one answer is held. It is decoded when it is taken, so a reader's memory is bounded by one
answer per partition, and a partition whose data is not taken is not fetched again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from headrace_runtime.kafka.batch_codec import decode_batches
from headrace_runtime.ports_log import Record, Records, TopicPartition

__all__ = ["FetchState", "FetchVerdict", "verdict_of"]


class FetchVerdict(Enum):
    """Meaning of one partition's error code in a fetch answer."""

    DATA = "data"
    RETRY = "retry"
    OUT_OF_RANGE = "out_of_range"
    DENIED = "denied"


_CODES = {
    0: FetchVerdict.DATA,
    1: FetchVerdict.OUT_OF_RANGE,
    29: FetchVerdict.DENIED,
    31: FetchVerdict.DENIED,
}


def verdict_of(error_code: int) -> FetchVerdict:
    """Meaning of a code; whatever is not listed is tried again after a look at the metadata."""
    return _CODES.get(error_code, FetchVerdict.RETRY)


@dataclass(slots=True)
class _Partition:
    """`position` is the caller's, `fetched` the offset at which the next request starts.

    `data` holds bytes as they came, fetched at `position`; `rest` records decoded but not yet taken, up to `fetched`.
    """

    position: int
    fetched: int
    data: bytes = b""
    rest: list[Record] = field(default_factory=list)
    paused: bool = False
    end_offset: int = -1
    problem: FetchVerdict | None = None

    @property
    def holds_data(self) -> bool:
        return bool(self.data) or bool(self.rest) or self.position != self.fetched


class FetchState:
    """The assigned partitions of one reader. `epoch` rises with each assignment: answers to older requests are void."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Partition] = {}
        self.epoch = 0

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `LogReader.assign`."""
        self.epoch += 1
        self._partitions = {tp: _Partition(offset, offset) for tp, offset in positions.items()}

    def set_paused(self, tp: TopicPartition, paused: bool) -> None:
        """Pause or resume; KeyError where not assigned."""
        self._partitions[tp].paused = paused

    def position(self, tp: TopicPartition) -> int:
        """Offset after the last record taken; KeyError where not assigned."""
        return self._partitions[tp].position

    def end_offset(self, tp: TopicPartition) -> int:
        """End of the log as of the last answer, -1 before the first; KeyError where not assigned."""
        return self._partitions[tp].end_offset

    def partitions(self) -> Iterable[TopicPartition]:
        """What is assigned."""
        return self._partitions.keys()

    def wanted(self) -> dict[TopicPartition, int]:
        """Partitions to fetch, with the offsets to start from."""
        return {
            tp: partition.fetched
            for tp, partition in self._partitions.items()
            if not (partition.paused or partition.problem or partition.holds_data)
        }

    def has_data(self) -> bool:
        """Whether `take` would return something."""
        return any(p.holds_data and not p.paused for p in self._partitions.values())

    def problems(self) -> dict[TopicPartition, FetchVerdict]:
        """Partitions that cannot go on, and why."""
        return {tp: p.problem for tp, p in self._partitions.items() if p.problem}

    def store(self, tp: TopicPartition, *, epoch: int, requested: int, data: bytes, end_offset: int) -> None:
        """Keep the bytes of an answer, unless the assignment or position changed since the request."""
        partition = self._partitions.get(tp)
        if partition is None or epoch != self.epoch or partition.fetched != requested or partition.holds_data:
            return
        partition.end_offset = end_offset
        partition.data = data

    def fail(self, tp: TopicPartition, problem: FetchVerdict, *, epoch: int, requested: int) -> None:
        """Remember that the partition cannot go on from this position."""
        partition = self._partitions.get(tp)
        if partition is not None and epoch == self.epoch and partition.fetched == requested:
            partition.problem = problem

    def take(self, max_records: int) -> dict[TopicPartition, Records]:
        """Records of partitions that are not paused, at most `max_records` in all; moves their positions.

        Raises BatchFormatError where bytes are damaged; they are dropped, so they are fetched again.
        """
        taken: dict[TopicPartition, Records] = {}
        for tp in list(self._partitions):
            partition = self._partitions[tp]
            if max_records <= 0:
                break
            if partition.paused or not partition.holds_data:
                continue
            records, moved = self._take_one(partition, max_records)
            max_records -= len(records)
            # The partition goes to the end, so that a small limit does not starve those behind it.
            del self._partitions[tp]
            self._partitions[tp] = partition
            if moved:
                taken[tp] = Records(records, partition.position)
        return taken

    @staticmethod
    def _take_one(partition: _Partition, max_records: int) -> tuple[list[Record], bool]:
        before = partition.position
        if partition.data:
            data, partition.data = partition.data, b""
            partition.rest, partition.fetched = decode_batches(data, partition.position)
        records = partition.rest
        if len(records) > max_records:
            records, partition.rest = records[:max_records], records[max_records:]
            partition.position = records[-1].offset + 1
        else:
            partition.rest = []
            partition.position = partition.fetched
        return records, partition.position != before
