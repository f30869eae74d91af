"""A simulated log and the network before it: the adversary of appends.

`SimulatedLog` keeps partitions of records, stamped by a leader clock that may step in either direction. `Network` holds
requests that were sent and have not landed. A request may land late (also after its sender has given it up or died),
land with its acknowledgement lost, or never land; of one sender and partition requests land in order, and what is lost
of them is a suffix: the first failed batch ends it. With `in_order` off each request meets its own fate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["Network", "Partition", "Request", "SimulatedLog", "SimulatedRecord", "Unsent"]

Partition = tuple[str, int]
"""Topic and partition number."""


@dataclass(frozen=True, slots=True)
class SimulatedRecord:
    """A record as a reader gets it; `timestamp` is the append time in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> bytes | None:
        """The value of the first header of that name."""
        return next((value for key, value in self.headers if key == name), None)


Unsent = tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]]
"""Key, value and headers of a record before it has an offset."""


class SimulatedLog:
    """Partitions of records. Offsets may have holes (control batches) where `add_hole` made them."""

    def __init__(self) -> None:
        self._records: dict[Partition, list[SimulatedRecord]] = {}
        self._ends: dict[Partition, int] = {}
        self._starts: dict[Partition, int] = {}

    def append(self, partition: Partition, batch: Sequence[Unsent], append_ms: int) -> int:
        """Append one batch; the offset of its first record."""
        base = self._ends.get(partition, 0)
        self._records.setdefault(partition, []).extend(
            SimulatedRecord(base + i, append_ms, key, value, headers)
            for i, (key, value, headers) in enumerate(batch)
        )
        self._ends[partition] = base + len(batch)
        return base

    def add_hole(self, partition: Partition, offsets: int = 1) -> None:
        """Use up offsets without a record, behind records that are there."""
        if partition in self._ends:
            self._ends[partition] += offsets

    def truncate(self, partition: Partition) -> None:
        """Remove every record; offsets go on where they were."""
        self._records[partition] = []

    def drop_before(self, partition: Partition, offset: int) -> None:
        """Make records below an offset unreadable, as retention does."""
        self._starts[partition] = max(offset, self.start(partition))

    def start(self, partition: Partition) -> int:
        """The lowest offset that can still be read."""
        return self._starts.get(partition, 0)

    def end(self, partition: Partition) -> int:
        """The offset that the next record will get."""
        return self._ends.get(partition, 0)

    def all(self, partition: Partition) -> list[SimulatedRecord]:
        """Every record, in order, unreadable ones too; not to be changed."""
        return self._records.get(partition, [])

    def read(self, partition: Partition, start: int, end: int | None = None) -> list[SimulatedRecord]:
        """Readable records of offsets from `start` to before `end` (default: all there are)."""
        records, start = self._records.get(partition, []), max(start, self.start(partition))
        stop = self.end(partition) if end is None else end
        if len(records) == self.end(partition):
            return records[start:stop]
        return [record for record in records if start <= record.offset < stop]


@dataclass(slots=True)
class Request:
    """Records on their way to a partition. `on_landed(base offset)` tells the sender; None once it has given up."""

    partition: Partition
    batch: Sequence[Unsent]
    on_landed: Callable[[int], None] | None
    slow: bool


class Network:
    """Requests in flight, by sender and partition."""

    def __init__(self, rng: Random, log: SimulatedLog, append_ms: Callable[[Partition], int]) -> None:
        self._rng, self._log, self._append_ms = rng, log, append_ms
        self._queues: dict[tuple[int, Partition], deque[Request]] = {}
        self._senders = 0
        self.in_order = True
        self.late = 0
        """Requests that landed after their sender had given them up."""

    def new_sender(self) -> int:
        """The number of a new producer."""
        self._senders += 1
        return self._senders

    def send(
        self, sender: int, partition: Partition, batch: Sequence[Unsent], on_landed: Callable[[int], None]
    ) -> None:
        """Queue a request; it lands when `deliver` draws it."""
        request = Request(partition, batch, on_landed, self._rng.random() < 0.12)
        self._queues.setdefault((sender, partition), deque()).append(request)

    def abandon(self, sender: int) -> None:
        """The sender is gone or starts anew: nobody hears of its requests, a random suffix of each queue is lost."""
        for place in [place for place in self._queues if place[0] == sender]:
            queue = self._queues[place]
            for request in queue:
                request.on_landed = None
            if self.in_order:
                kept = list(queue)[: self._rng.choice((0, 0, 1, 2, 99))]
            else:
                kept = [request for request in queue if self._rng.random() < 0.6]
            self._keep(place, deque(kept))

    def lose_all(self) -> None:
        """Nothing in flight will ever land."""
        self._queues.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._queues

    def deliver(self, *, hurry: bool = False) -> None:
        """Let one request land, mostly not a slow one (`hurry`: any)."""
        if not self._queues:
            return
        place = self._rng.choice(list(self._queues))
        queue = self._queues[place]
        at = 0 if self.in_order else self._rng.randrange(len(queue))
        request = queue[at]
        if request.slow and not hurry and self._rng.random() < 0.9:
            return
        del queue[at]
        self._keep(place, queue)
        self._land(request)

    def _land(self, request: Request) -> None:
        base = self._log.append(request.partition, request.batch, self._append_ms(request.partition))
        if request.on_landed is None:
            self.late += 1
        else:
            request.on_landed(base)

    def _keep(self, place: tuple[int, Partition], queue: deque[Request]) -> None:
        if queue:
            self._queues[place] = queue
        else:
            self._queues.pop(place, None)
