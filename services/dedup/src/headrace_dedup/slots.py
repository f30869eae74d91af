"""Memory of the table of seen ids: anonymous pages that can be given back from the front while a new table fills."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["ENTRY", "SLOT_BYTES", "Slots"]

SLOT_BYTES = 24
ENTRY = 2
"""Column of the entry; the two before it hold the id, so that one look at memory finds both."""
_TAIL = 1 << 14
"""Slots behind the last home slot, so that a probe never wraps; far more than the longest run at 76 % load."""
_COLUMNS = 3


class Slots:
    """``rows``: an array (n, 3) of u64, all zero at first. ``capacity`` counts home slots."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._count = capacity + _TAIL
        self._pages = _pages(self._count * SLOT_BYTES)
        flat = np.frombuffer(self._pages, dtype=np.uint64, count=self._count * _COLUMNS)
        self.rows: npt.NDArray[np.uint64] = flat.reshape(-1, _COLUMNS)
        self._given_back = 0

    @property
    def entries(self) -> npt.NDArray[np.uint64]:
        """The entries, a view."""
        return self.rows[:, ENTRY]

    def parts(self, size: int) -> Iterator[tuple[int, int]]:
        """Consecutive parts of about ``size`` slots that begin and end at a free slot, so that no run crosses them."""
        start = 0
        while start < self._count:
            end = min(start + size, self._count)
            while end < self._count:
                free = np.flatnonzero(self.entries[end : end + 1024] == 0)
                if len(free):
                    end += int(free[0])
                    break
                end = min(end + 1024, self._count)
            yield start, end
            start = end

    def give_back(self, end: int) -> None:
        """Return the memory of the slots below ``end`` to the system; their content is gone."""
        first = self._given_back * SLOT_BYTES // mmap.PAGESIZE * mmap.PAGESIZE
        after = end * SLOT_BYTES // mmap.PAGESIZE * mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED") and after > first:
            self._pages.madvise(mmap.MADV_DONTNEED, first, after - first)
        self._given_back = end


def _pages(size: int) -> mmap.mmap:
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
