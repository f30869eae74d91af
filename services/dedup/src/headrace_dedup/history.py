"""The valid blocks that a partition's memory rests on: where each began and which clock it set (rule D1). Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence

from headrace_core.decide import horizon

__all__ = ["History"]

_FORGOTTEN_AT_ONCE = 4_096


class History:
    """Start and clock of the valid blocks that can still matter, in order; 16 bytes each. Clocks never fall."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._starts, self._clocks = array("q"), array("q")
        self._first = 0
        self.clock_ms = 0
        """Clock of the last valid block."""
        self.last_horizon = 0
        """What `append` returned last."""

    def append(self, start: int, clock_ms: int) -> int:
        """Take a valid block; returns its horizon, below which no later range looks."""
        self.clock_ms = max(self.clock_ms, clock_ms)
        self._starts.append(start)
        self._clocks.append(self.clock_ms)
        self._first = bisect_right(self._clocks, self.clock_ms - self._window_ms, lo=self._first)
        if self._first > _FORGOTTEN_AT_ONCE:
            del self._starts[: self._first], self._clocks[: self._first]
            self._first = 0
        self.last_horizon = self._starts[self._first]
        return self.last_horizon

    def horizon(
        self, *, decided: Sequence[tuple[int, int]], clock_before_ms: int, first_append_ms: int, start: int
    ) -> int:
        """The horizon of a range that begins at ``start``, behind the valid blocks and then the ``decided`` ranges."""
        clock_ms = max(clock_before_ms, first_append_ms)
        after = next((begin for begin, clock in decided if clock > clock_ms - self._window_ms), start)
        return horizon(
            self._starts,
            self._clocks,
            clock_before_ms=clock_before_ms,
            first_append_ms=first_append_ms,
            window_ms=self._window_ms,
            start=after,
            known_from=self._first,
        )
