"""The table of seen ids of one partition (rule D8): open addressing over arrays, thousands of ids a call.

A slot has 24 bytes: the id (16) and one u64 entry of `headrace_core.decide`. A slot whose entry is 0 was never used and
ends a probe; a slot is given to another id only by a rebuild. Slots are ordered by the hash of their ids (home slot =
hash scaled to the capacity, then linear probing), so a rebuild into any capacity is one pass in order, and the old
table's memory is given back while the new one fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headrace_core.decide import ABSENT, entry
from headrace_core.errors import ConfigurationError
from headrace_dedup.slots import ENTRY, SLOT_BYTES, Slots

__all__ = ["IdTable", "TableFull"]

_U64: TypeAlias = npt.NDArray[np.uint64]
_Index: TypeAlias = npt.NDArray[np.int64]

_FULL_PERCENT = 75
_REBUILT_PERCENT = 60
_REBUILT_SMALL_PERCENT = 30
_FEW_IDS = 500_000
"""Below, memory is small beside everything else and a table may grow in larger steps."""
_RESERVE_PERCENT = 76
_SMALLEST = 4_096
_MULTIPLIER = 0x9E37_79B9_7F4A_7C15
_CHUNK = 1 << 18
_WINDOWS = (1, 1, 2, 4, 8, 16, 32)


class TableFull(ConfigurationError):
    """The memory allowed for the table is full of ids inside the window; nothing was stored."""


def _scaled(capacity: int, percent: int) -> int:
    return capacity * percent // 100


class IdTable:
    """id to entry, exact, within ``max_bytes``. Not thread-safe.

    ``multiplier`` (odd) scatters ids; a value that nobody else knows keeps crafted ids from meeting in one place.
    """

    def __init__(self, *, max_bytes: int, multiplier: int = _MULTIPLIER) -> None:
        self._most = max_bytes // SLOT_BYTES
        self._multiplier = np.uint64(multiplier | 1)
        self._slots = Slots(min(_SMALLEST, self._most))
        self._used = 0
        self._release = entry(0, None)

    def __len__(self) -> int:
        """Slots in use: live, expired and dead."""
        return self._used

    @property
    def capacity(self) -> int:
        """Slots that there are now."""
        return self._slots.capacity

    def release_below(self, horizon_offset: int) -> None:
        """Let a rebuild drop entries below this offset."""
        self._release = max(self._release, entry(horizon_offset, None))

    def room(self) -> int:
        """How many more ids fit for certain, counted after a rebuild under the present horizon."""
        return max(0, _scaled(self._most, _FULL_PERCENT) - self._survivors())

    def get_many(self, ids: Sequence[bytes]) -> list[int]:
        """The entries of ``ids`` in order, ABSENT where there is none."""
        if not ids:
            return []
        keys = _keys(b"".join(ids))
        slot, _ = self._find(keys)
        found: list[int] = self._slots.entries[slot].tolist()
        return found

    def set_many(self, ids: Sequence[bytes], entries: Sequence[int]) -> None:
        """Store entries (not ABSENT) of distinct ids. TableFull, with nothing changed, where no room is left."""
        if ids:
            self._set(_keys(b"".join(ids)), np.array(entries, dtype=np.uint64))

    def set_column(self, ids: bytes, entries: Sequence[int]) -> None:
        """As set_many with the ids joined; of an id that occurs more than once the last entry counts."""
        if not ids:
            return
        keys, values = _keys(ids), np.asarray(entries, dtype=np.uint64)
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        ordered = keys[order]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
        chosen = order[last]
        self._set(keys[chosen], values[chosen])

    def _set(self, keys: _U64, values: _U64) -> None:
        slot, found = self._find(keys)
        count = len(keys) - int(np.count_nonzero(found))
        if self._used + count > _scaled(self.capacity, _FULL_PERCENT):
            self._make_room(count)
            slot, found = self._find(keys)  # what was expired may be gone
            count = len(keys) - int(np.count_nonzero(found))
        self._slots.rows[slot[found], ENTRY] = values[found]
        missing = ~found
        self._claim(keys[missing], values[missing], slot[missing])
        self._used += count

    def _claim(self, keys: _U64, values: _U64, slot: _Index) -> None:
        """Write ids that are not in the table; of several that want one free slot, all but one look on."""
        rows = self._slots.rows
        while len(slot):
            rows[slot] = np.column_stack((keys, values))
            there = rows[slot]
            lost = np.flatnonzero((there[:, 1] != keys[:, 1]) | (there[:, 0] != keys[:, 0]))
            keys, values = keys[lost], values[lost]
            slot, _ = self._probe(keys, slot[lost] + 1)

    def _home(self, keys: _U64, capacity: int) -> _Index:
        mixed = (keys[:, 1] * self._multiplier) >> np.uint64(32)
        return ((mixed * np.uint64(capacity)) >> np.uint64(32)).astype(np.int64)

    def _find(self, keys: _U64) -> tuple[_Index, npt.NDArray[np.bool_]]:
        return self._probe(keys, self._home(keys, self.capacity))

    def _probe(self, keys: _U64, start: _Index) -> tuple[_Index, npt.NDArray[np.bool_]]:
        """For each id the slot that holds it, or the first free one from ``start`` on; and which of the two it is."""
        at, found = start.copy(), np.zeros(len(keys), dtype=bool)
        pending = np.arange(len(keys))
        for width in chain(_WINDOWS, repeat(_WINDOWS[-1])):
            if not len(pending):
                break
            window, there = self._look(start, width)
            free = there[..., ENTRY] == ABSENT
            same = (there[..., 1] == keys[:, 1, None]) & (there[..., 0] == keys[:, 0, None])
            first = (free | same).argmax(axis=1) if width > 1 else np.zeros(len(pending), dtype=np.int64)
            row = np.arange(len(pending))
            done = free[row, first] | same[row, first]
            at[pending[done]] = window[row, first][done]
            found[pending[done]] = ~free[row, first][done]
            going = np.flatnonzero(~done)
            pending, keys, start = pending[going], keys[going], start[going] + width
        return at, found

    def _look(self, start: _Index, width: int) -> tuple[_Index, _U64]:
        """``width`` slots from ``start`` on for each id: which they are, and what is there."""
        if width == 1:
            return start[:, None], self._slots.rows[start][:, None, :]
        window = start[:, None] + np.arange(width)
        return window, self._slots.rows[window]

    def _survivors(self) -> int:
        return sum(
            int(np.count_nonzero(part >= self._release))
            for part in np.array_split(self._slots.entries, max(1, len(self._slots.entries) // _CHUNK))
        )

    def _make_room(self, count: int) -> None:
        survivors = self._survivors()
        needed = survivors + count
        percent = _REBUILT_PERCENT if needed > _FEW_IDS else _REBUILT_SMALL_PERCENT
        capacity = min(self._most, max(_SMALLEST, needed * 100 // percent + 1))
        if needed > _scaled(capacity, _RESERVE_PERCENT if count == 1 else _FULL_PERCENT):
            raise TableFull(
                f"The table of seen ids is full: {survivors} of {self._most} slots hold ids inside the window.",
                why="More distinct ids arrived within the window than the memory allowed for the table can hold.",
                fix="Raise HEADRACE_DEDUP_TABLE_BYTES and the pod's memory, spread the partitions over more workers, "
                "or lower HEADRACE_DEDUP_WINDOW_S; then restart.",
                code="dedup_table_full",
            )
        self._rebuild(capacity)

    def _rebuild(self, capacity: int) -> None:
        old, new = self._slots, Slots(capacity)
        used, last = 0, -1
        for start, end in old.parts(_CHUNK):
            live = np.flatnonzero(old.entries[start:end] >= self._release) + start
            rows = old.rows[live]
            home = self._home(rows, capacity)
            order = np.argsort(home, kind="stable")
            place = _placed(home[order], last)
            if len(place):
                last = int(place[-1])
                new.rows[place] = rows[order]
                used += len(place)
            old.give_back(end)
        self._slots, self._used = new, used


def _placed(home: _Index, last: int) -> _Index:
    """Slots of ids in the order of their home slots, the first free one each, behind ``last``: linear probing at once."""
    rank = np.arange(len(home))
    return np.maximum(np.maximum.accumulate(home - rank), last + 1) + rank


def _keys(ids: bytes) -> _U64:
    return np.frombuffer(ids, dtype=np.uint64).reshape(-1, 2)
