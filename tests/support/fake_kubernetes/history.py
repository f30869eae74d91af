"""What happened to the objects of one resource, for watches: the newest events, with a floor below which lies 410."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
from tests.support.fake_kubernetes.objects import Json

__all__ = ["History"]

Entry = tuple[int, str, Json]
"""Resource version, type, object."""


class History:
    """A bounded log of events. Watches wait at its end."""

    def __init__(self, keep: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._keep = keep
        self._moved = asyncio.Event()
        self._lines: dict[int, bytes] = {}
        self.floor = 0
        """Resource versions below it have been forgotten."""

    def add(self, version: int, event: str, body: Json) -> None:
        """One more event."""
        if len(self._entries) == self._keep:
            self.floor = self._entries[0][0]
            self._lines.pop(self.floor, None)
        self._entries.append((version, event, body))
        self.wake()

    def wake(self) -> None:
        """Let waiting watches look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    def forget(self, version: int) -> None:
        """Compact: watches from below this version get 410."""
        self.floor = version
        while self._entries and self._entries[0][0] <= version:
            self._lines.pop(self._entries.popleft()[0], None)

    def after(self, version: int) -> list[Entry]:
        """Events above a version, oldest first."""
        if not self._entries or self._entries[-1][0] <= version:
            return []
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if entry[0] <= version:
                break
            found.append(entry)
        return found[::-1]

    def line(self, entry: Entry) -> bytes:
        """An event as a line of a watch, made once for all watches."""
        found = self._lines.get(entry[0])
        if found is None:
            found = msgspec.json.encode({"type": entry[1], "object": entry[2]}) + b"\n"
            self._lines[entry[0]] = found
        return found

    async def moved(self, timeout_s: float) -> None:
        """Until something happens, or the time is over."""
        waiter = self._moved
        try:
            async with asyncio.timeout(timeout_s):
                await waiter.wait()
        except TimeoutError:
            return
