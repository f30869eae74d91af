"""Raw records that wait for a decision, already read by the rules, and where the next range ends (rule D1). Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from headrace_dedup.messages import Prepared, RawRecord

__all__ = ["RawBuffer"]

_READ_AHEAD = 2


class RawBuffer:
    """Consecutive records of one partition. A range is ready when it reaches a limit or has waited long enough."""

    def __init__(self, range_records: int, range_bytes: int) -> None:
        self._range_records, self._range_bytes = range_records, range_bytes
        self._records: list[RawRecord] = []
        self._columns = Prepared()
        self._bytes = 0
        self._next = 0
        self._due = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def is_full(self) -> bool:
        """Whether there is enough for the range in hand and one more."""
        return (
            len(self._records) >= _READ_AHEAD * self._range_records
            or self._bytes >= _READ_AHEAD * self._range_bytes
        )

    @property
    def is_ready(self) -> bool:
        """Whether the next range reached a limit, or is due."""
        if not self._records:
            return False
        return self._due > 0 or len(self._records) >= self._range_records or self._bytes >= self._range_bytes

    def restart(self, position: int) -> None:
        """Drop everything; the next record comes from ``position`` on."""
        self._records, self._columns = [], Prepared()
        self._bytes, self._next, self._due = 0, position, 0

    def unseen(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """Those that are neither here nor before the position."""
        if records and records[0].offset < self._next:
            return [record for record in records if record.offset >= self._next]
        return records

    def add(self, records: Sequence[RawRecord], columns: Prepared, next_offset: int) -> None:
        """Take records that follow, with their columns."""
        self._records.extend(records)
        self._columns.extend(columns)
        self._bytes += sum(columns.sizes)
        self._next = max(self._next, next_offset)

    def due(self) -> None:
        """What is here now waits no longer for more."""
        self._due = len(self._records)

    def peek(self, at_most: int | None = None) -> tuple[Sequence[RawRecord], int]:
        """The next range, at least one record, and its end: also past a hole in the log where it takes everything."""
        count = min(at_most or self._range_records, self._range_records, len(self._records))
        totals = list(accumulate(self._columns.sizes[:count]))
        count = max(1, bisect_right(totals, self._range_bytes))
        if count == len(self._records):
            return self._records[:count], self._next
        return self._records[:count], self._records[count - 1].offset + 1

    def columns(self, count: int) -> Prepared:
        """The columns of the next ``count`` records."""
        return self._columns.first(count)

    def take(self, count: int) -> None:
        """Remove the records of a range that was decided."""
        self._bytes -= sum(self._columns.sizes[:count])
        self._columns.drop(count)
        del self._records[:count]
        self._due = max(0, self._due - count)
