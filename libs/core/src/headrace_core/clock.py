"""Time as an argument: what needs the time takes a Clock, tests give it one that they turn themselves."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Wall time for data, monotonic time for deadlines."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 0.0

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds since this clock was made."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both times forward."""
        self._monotonic_s += seconds
        self._now_ms += round(seconds * 1000)

    def step_wall(self, seconds: float) -> None:
        """Move wall time alone, in either direction, as a corrected machine clock does."""
        self._now_ms += round(seconds * 1000)
