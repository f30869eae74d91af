"""Where the topics end, asked of the brokers: with it, an answer of the census covers all that was acknowledged before it."""

from __future__ import annotations

import asyncio

from headrace_api.census import Census
from headrace_core.errors import Unavailable
from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_runtime.ports_log import LogReader, TopicPartition

__all__ = ["LogEnds"]

_ANSWER_WITHIN_S = 2.0


class LogEnds:
    """Hands the ends of events.raw and events.quarantine to the census. Callers take turns and share what is new enough."""

    def __init__(self, reader: LogReader, census: Census) -> None:
        self._reader = reader
        self._census = census
        partitions = range(len(census.partitions))
        self._raw = [TopicPartition(EVENTS_RAW.name, p) for p in partitions]
        self._quarantine = [TopicPartition(EVENTS_QUARANTINE.name, p) for p in partitions]
        self._turn = asyncio.Lock()
        self._begun = 0
        self._done = 0
        """Number of the last reading that succeeded."""

    async def read(self, *, deadline_s: float) -> None:
        """Have the ends of a moment after this call in the census. Raises Unavailable, or TimeoutError after the deadline."""
        begun_before = self._begun
        async with asyncio.timeout(deadline_s), self._turn:
            if self._done > begun_before:
                return
            self._begun += 1
            await self._read(deadline_s)
            self._done = self._begun

    async def known(self) -> bool:
        """Whether the census has the ends of a moment after this call; an answer does not wait long for brokers."""
        try:
            await self.read(deadline_s=_ANSWER_WITHIN_S)
        except (Unavailable, TimeoutError):
            return False
        return True

    async def _read(self, deadline_s: float) -> None:
        if not self._census.raw_beginnings:
            beginnings = await self._reader.beginning_offsets(self._raw, deadline_s=deadline_s)
            self._census.raw_beginnings = {tp.partition: begin for tp, begin in beginnings.items()}
        ends = await self._reader.end_offsets([*self._raw, *self._quarantine], deadline_s=deadline_s)
        self._census.raw_ends = {tp.partition: ends[tp] for tp in self._raw}
        self._census.quarantine_ends = {tp.partition: ends[tp] for tp in self._quarantine}
