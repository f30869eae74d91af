"""The reads of one partition's owner, repeated with growing pauses until the log and the store answer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from headrace_core.errors import Unavailable
from headrace_core.paths import chain_prefix
from headrace_dedup import log_reading as reading
from headrace_dedup import messages as m
from headrace_dedup.log_access import LogAccess, PartitionNames
from headrace_runtime.health import Health
from headrace_runtime.ports_store import ObjectStore

__all__ = ["PartitionReads", "pauses"]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_DEADLINE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


async def pauses() -> AsyncIterator[None]:
    """Passes at once, then after pauses that grow up to five seconds."""
    yield
    pause_s = _FIRST_PAUSE_S
    while True:
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  (spreads retries)
        yield
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


@dataclass(slots=True)
class PartitionReads:
    """Each method opens a reader of its own. While nothing answers, ``component`` is down in readiness."""

    names: PartitionNames
    log: LogAccess
    store: ObjectStore
    health: Health
    component: str
    window_ms: int
    _accepted: AsyncIterator[m.AcceptedRead] | None = None

    async def until_answered(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Ask until there is an answer."""
        async for _ in pauses():
            try:
                return await ask()
            except Unavailable as error:
                self.health.down(self.component, str(error))
                _log.warning(
                    "A dependency does not answer.", extra={"component": self.component, "error": str(error)}
                )
        raise AssertionError("pauses never end")

    async def begin(self) -> m.Begin:
        """The log as it is now."""

        async def ask() -> m.Begin:
            async with self.log.reading(deadline_s=_DEADLINE_S) as reader:
                first = await reading.first_position(
                    reader, self.names.index, window_ms=self.window_ms, deadline_s=_DEADLINE_S
                )
                raw = self.names.raw
                starts = await reader.beginning_offsets([raw], deadline_s=_DEADLINE_S)
                ends = await reader.end_offsets([raw], deadline_s=_DEADLINE_S)
                return m.Begin(starts[raw], ends[raw], first)

        return await self.until_answered(ask)

    async def index(self, position: int, take: Callable[[m.IndexRead], Awaitable[None]]) -> None:
        """The index from a position to its end; a repeat goes on behind the last part taken."""
        at = position

        async def ask() -> None:
            nonlocal at
            async with self.log.reading(deadline_s=_DEADLINE_S) as reader:
                async for part in reading.read_index(reader, self.names.index, at, deadline_s=_DEADLINE_S):
                    at = part.next_offset
                    await take(part)

        await self.until_answered(ask)

    async def range(self, start: int, end: int) -> m.RangeRead:
        """Raw records again."""

        async def ask() -> m.RangeRead:
            async with self.log.reading(deadline_s=_DEADLINE_S) as reader:
                found = await reading.read_range(reader, self.names.raw, start, end, deadline_s=_DEADLINE_S)
                return m.RangeRead(found)

        return await self.until_answered(ask)

    async def origin(self) -> m.Origin:
        """Traces of an earlier life of the partition."""

        async def ask() -> m.Origin:
            clean = self.names.clean
            async with self.log.reading(deadline_s=_DEADLINE_S) as reader:
                ends = await reader.end_offsets([clean], deadline_s=_DEADLINE_S)
                has_sources = await reading.has_source_offsets(
                    reader, self.names.quarantine, deadline_s=_DEADLINE_S
                )
            chain = await self.store.list(
                chain_prefix("events", clean.partition), limit=1, deadline_s=_DEADLINE_S
            )
            return m.Origin(ends[clean] == 0, has_sources, bool(chain))

        return await self.until_answered(ask)

    def forget_accepted(self) -> None:
        """Begin anew with the next `accepted`."""
        self._accepted = None

    async def accepted(self, above: int) -> m.AcceptedRead:
        """The next part of what events.clean says was accepted; goes on where the last one stopped."""

        async def ask() -> m.AcceptedRead:
            if self._accepted is None:
                self._accepted = self._all_accepted(above)
            try:
                return await anext(self._accepted)
            except Unavailable:
                self._accepted = None
                raise

        return await self.until_answered(ask)

    async def _all_accepted(self, above: int) -> AsyncIterator[m.AcceptedRead]:
        async with self.log.reading(deadline_s=_DEADLINE_S) as reader:
            parts = reading.read_accepted(
                reader, self.names.clean, above=above, window_ms=self.window_ms, deadline_s=_DEADLINE_S
            )
            async with aclosing(parts):
                async for part in parts:
                    if not part.at_end:
                        yield part
                        continue
                    forced = await reading.read_quarantined(
                        reader, self.names.quarantine, deadline_s=_DEADLINE_S
                    )
                    self._accepted = None
                    yield m.AcceptedRead(
                        part.offsets, part.ids, part.times_ms, at_end=True, quarantined=forced
                    )
