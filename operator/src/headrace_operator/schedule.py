"""Which key is next: every key once, failed ones later, some at a time that they asked for. Pure: the time is an argument.

Times are seconds of a monotonic clock. A key that is added while it is worked on is taken again afterwards, never by two at
once. There is no bound of its own: there are as many keys as runs.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict

__all__ = ["Schedule", "backoff_s"]

_FIRST_BACKOFF_S = 1.0
_MOST_BACKOFF_S = 60.0


def backoff_s(failures: int, chance: float) -> float:
    """The pause after so many failures in a row: 1 s doubled up to 60 s, of which ``chance`` (0 to 1) takes up to half."""
    pause_s = min(_MOST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 10))
    return pause_s * (1.0 - chance / 2)


class Schedule:
    """Keys that are ready, keys that are worked on, and keys that wait for a time."""

    def __init__(self) -> None:
        self._ready: OrderedDict[str, float] = OrderedDict()
        self._working: set[str] = set()
        self._again: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._times: list[tuple[float, str]] = []
        self._due_s: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ready) + len(self._again)

    @property
    def keys(self) -> int:
        """Keys that are ready, worked on or waiting for a time."""
        return len(set(self._ready) | self._working | set(self._due_s))

    def add(self, key: str, now_s: float) -> None:
        """Something happened to a key. One that failed waits for its pause all the same."""
        if self._held.get(key, 0.0) > now_s:
            return
        if key in self._working:
            self._again.setdefault(key, now_s)
        else:
            self._ready.setdefault(key, now_s)

    def add_at(self, key: str, at_s: float) -> None:
        """Let a key be ready at a time, if it is not before. Earlier wishes stay, later ones are forgotten."""
        if at_s < self._due_s.get(key, float("inf")):
            self._due_s[key] = at_s
            heapq.heappush(self._times, (at_s, key))

    def take(self, now_s: float) -> str | None:
        """The key that has waited longest, which is worked on from now on; None where nothing is ready."""
        self._ripen(now_s)
        if not self._ready:
            return None
        key, _ = self._ready.popitem(last=False)
        self._working.add(key)
        self._due_s.pop(key, None)
        return key

    def done(self, key: str, now_s: float, *, again_at_s: float | None = None) -> None:
        """The key was worked on without a failure; ``again_at_s`` is when to look at it again."""
        self._failures.pop(key, None)
        self._held.pop(key, None)
        if again_at_s is not None:
            self.add_at(key, again_at_s)
        self._finish(key)

    def failed(self, key: str, now_s: float, *, chance: float, at_least_s: float = 0.0) -> float:
        """The work on the key failed: it waits a growing pause, whatever happens to it meanwhile. The pause in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause_s = max(at_least_s, backoff_s(failures, chance))
        self._held[key] = now_s + pause_s
        self._again.pop(key, None)
        self._due_s.pop(key, None)
        self.add_at(key, now_s + pause_s)
        self._finish(key)
        return pause_s

    def _finish(self, key: str) -> None:
        self._working.discard(key)
        if key in self._again:
            self._ready[key] = self._again.pop(key)

    def _ripen(self, now_s: float) -> None:
        while self._times and self._times[0][0] <= now_s:
            at_s, key = heapq.heappop(self._times)
            if self._due_s.get(key) == at_s:
                del self._due_s[key]
                self._held.pop(key, None)
                self.add(key, at_s)

    def next_s(self) -> float | None:
        """When the next key that waits for a time is ready; None where none waits."""
        while self._times and self._due_s.get(self._times[0][1]) != self._times[0][0]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def head_age_s(self, now_s: float) -> float:
        """How long the key that is next has been ready; 0 where none is."""
        return max(0.0, now_s - next(iter(self._ready.values()))) if self._ready else 0.0
