"""The newest raw records, for people who want to see events pass and for learning which sources exist."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from headrace_api.census import Census
from headrace_api.lookups import header
from headrace_core.errors import Unavailable
from headrace_core.meta import decode_meta
from headrace_core.topics import EVENTS_RAW, HEADER_META
from headrace_runtime.ports_log import LogReader, Record, TopicPartition
from headrace_runtime.process import Lifecycle

__all__ = ["LiveEvent", "LiveTail"]

_SHOWN = 30
_PER_PARTITION = 5
_EXCERPT_BYTES = 240
_DEADLINE_S = 5.0


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One raw record. ``verdict`` is None while it is undecided."""

    receipt: str
    at_ms: int
    source: str
    dialect: str
    bytes: int
    excerpt: str
    verdict: str | None


class LiveTail:
    """Every interval the newest few records of each partition: a sample under load, everything when it is quiet."""

    def __init__(self, reader: LogReader, census: Census, interval_s: float) -> None:
        self._reader = reader
        self._census = census
        self._interval_s = interval_s
        self._records: deque[tuple[int, Record]] = deque(maxlen=_SHOWN)
        self._positions: dict[int, int] = {}
        self.sources: dict[str, None] = {}
        """Source slugs seen, in order of appearance."""

    async def run(self, life: Lifecycle) -> None:
        """Sample until the process stops; a log that does not answer shows in the feeds' health."""
        while await life.sleep(self._interval_s):
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    await self._sample()
            except (Unavailable, TimeoutError):
                continue

    async def _sample(self) -> None:
        tps = [TopicPartition(EVENTS_RAW.name, p) for p in range(len(self._census.partitions))]
        lows = await self._reader.beginning_offsets(tps, deadline_s=_DEADLINE_S)
        ends = await self._reader.end_offsets(tps, deadline_s=_DEADLINE_S)
        starts = {
            tp: max(lows[tp], end - _PER_PARTITION, self._positions.get(tp.partition, 0))
            for tp, end in ends.items()
        }
        wanted = {tp: start for tp, start in starts.items() if start < ends[tp]}
        if not wanted:
            return
        self._reader.assign(wanted)
        fetched = await self._reader.fetch(max_wait_s=1.0)
        found = [(tp.partition, record) for tp, records in fetched.items() for record in records.records]
        for tp, records in fetched.items():
            self._positions[tp.partition] = records.next_offset
        found.sort(key=lambda pair: pair[1].timestamp)
        self._records.extend(found)
        for _, record in found:
            self.sources.setdefault(_source_of(record)[0])

    def newest(self) -> list[LiveEvent]:
        """The newest records first, each with its verdict as known now."""
        return [self._event(partition, record) for partition, record in reversed(self._records)]

    def _event(self, partition: int, record: Record) -> LiveEvent:
        source, dialect = _source_of(record)
        found = self._census.verdict_at(partition, record.offset)
        value = record.value or b""
        return LiveEvent(
            receipt=f"{partition}-{record.offset}",
            at_ms=record.timestamp,
            source=source,
            dialect=dialect,
            bytes=len(value),
            excerpt=value[:_EXCERPT_BYTES].decode(errors="replace"),
            verdict=None if found is None else found.verdict.name.lower(),
        )


def _source_of(record: Record) -> tuple[str, str]:
    meta = header(record, HEADER_META)
    if meta is None:
        return "", ""
    decoded = decode_meta(meta)
    return decoded.source, decoded.dialect
