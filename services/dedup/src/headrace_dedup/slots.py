"""Memory of the table of seen ids: anonymous pages that can be given back from the front while a new table fills."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["SLOT_BYTES", "Slots"]

SLOT_BYTES = 24
_TAIL = 1 << 14
"""Slots behind the last home slot, so that a probe never wraps; far more than the longest run at 76 % load."""
_ID_BYTES = 16
_ENTRY_BYTES = 8


class Slots:
    """Two parallel arrays, all zero at first: ``keys`` (n, 2) and ``entries`` (n). ``capacity`` counts home slots."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._rows = capacity + _TAIL
        self._key_pages = _pages(self._rows * _ID_BYTES)
        self._entry_pages = _pages(self._rows * _ENTRY_BYTES)
        self.keys: npt.NDArray[np.uint64] = np.frombuffer(
            self._key_pages, dtype=np.uint64, count=self._rows * 2
        ).reshape(-1, 2)
        self.entries: npt.NDArray[np.uint64] = np.frombuffer(
            self._entry_pages, dtype=np.uint64, count=self._rows
        )
        self._given_back = 0

    def parts(self, size: int) -> Iterator[tuple[int, int]]:
        """Consecutive parts of about ``size`` slots that begin and end at a free slot, so that no run crosses them."""
        start = 0
        while start < self._rows:
            end = min(start + size, self._rows)
            while end < self._rows:
                free = np.flatnonzero(self.entries[end : end + 1024] == 0)
                if len(free):
                    end += int(free[0])
                    break
                end = min(end + 1024, self._rows)
            yield start, end
            start = end

    def give_back(self, end: int) -> None:
        """Return the memory of the slots below ``end`` to the system; their content is gone."""
        if hasattr(mmap, "MADV_DONTNEED"):
            _release(self._key_pages, self._given_back * _ID_BYTES, end * _ID_BYTES)
            _release(self._entry_pages, self._given_back * _ENTRY_BYTES, end * _ENTRY_BYTES)
        self._given_back = end


def _pages(size: int) -> mmap.mmap:
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def _release(pages: mmap.mmap, start: int, end: int) -> None:
    """Only whole pages: from the one that the release before stopped in, which is all used up now."""
    first, after = start // mmap.PAGESIZE * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    if after > first:
        pages.madvise(mmap.MADV_DONTNEED, first, after - first)
