"""Single records from the topics: by position, or by the source offset that clean records carry in rising order."""

from __future__ import annotations

import asyncio

from headrace_core.meta import decode_source_offset
from headrace_core.topics import EVENTS_CLEAN, EVENTS_QUARANTINE, EVENTS_RAW, HEADER_SOURCE_OFFSET
from headrace_runtime.ports_log import LogReader, Record, TopicPartition

__all__ = ["LogLookups", "header"]

_FETCH_WAIT_S = 2.0
_QUARANTINE_SCAN_RECORDS = 200_000
_REPEAT_SCAN_RECORDS = 20_000


def header(record: Record, name: str) -> bytes | None:
    """The value of a record's header."""
    return next((value for key, value in record.headers if key == name), None)


class LogLookups:
    """Reads single records with a reader of its own; look-ups take turns. Each returns within ``deadline_s``."""

    def __init__(self, reader: LogReader, deadline_s: float) -> None:
        self._reader = reader
        self._deadline_s = deadline_s
        self._turn = asyncio.Lock()

    async def raw(self, partition: int, offset: int) -> Record | None:
        """The raw record at a position; None where it is gone or not there yet."""
        async with asyncio.timeout(self._deadline_s), self._turn:
            return await self._at(TopicPartition(EVENTS_RAW.name, partition), offset)

    async def clean(self, partition: int, source_offset: int) -> Record | None:
        """The first clean record that stems from a raw offset.

        First appearances of source offsets rise with the offset, so bisection finds the place. A late repeat of another
        owner can mislead it; then the records before that place are read through.
        """
        tp = TopicPartition(EVENTS_CLEAN.name, partition)
        async with asyncio.timeout(self._deadline_s), self._turn:
            low, high = await self._bounds(tp)
            first = low
            while low < high:
                middle = (low + high) // 2
                record = await self._at_or_after(tp, middle)
                if record is None or record.offset >= high or _source_offset(record) >= source_offset:
                    high = middle
                else:
                    low = record.offset + 1
            found = await self._at_or_after(tp, low)
            if found is not None and _source_offset(found) == source_offset:
                return found
            return await self._scan(tp, max(first, low - _REPEAT_SCAN_RECORDS), low, source_offset)

    async def quarantine(self, partition: int, source_offset: int) -> Record | None:
        """The quarantine record that dedup wrote for a raw offset, among the newest ones of the partition."""
        tp = TopicPartition(EVENTS_QUARANTINE.name, partition)
        async with asyncio.timeout(self._deadline_s), self._turn:
            low, high = await self._bounds(tp)
            return await self._scan(tp, max(low, high - _QUARANTINE_SCAN_RECORDS), high, source_offset)

    async def _scan(self, tp: TopicPartition, start: int, end: int, source_offset: int) -> Record | None:
        self._reader.assign({tp: start})
        while self._reader.position(tp) < end:
            fetched = await self._reader.fetch(max_wait_s=_FETCH_WAIT_S)
            if tp not in fetched:
                return None
            found = next(
                (record for record in fetched[tp].records if _source_offset(record) == source_offset), None
            )
            if found is not None:
                return found
        return None

    async def _bounds(self, tp: TopicPartition) -> tuple[int, int]:
        low = await self._reader.beginning_offsets([tp], deadline_s=self._deadline_s)
        high = await self._reader.end_offsets([tp], deadline_s=self._deadline_s)
        return low[tp], high[tp]

    async def _at(self, tp: TopicPartition, offset: int) -> Record | None:
        low, high = await self._bounds(tp)
        if not low <= offset < high:
            return None
        record = await self._at_or_after(tp, offset)
        return record if record is not None and record.offset == offset else None

    async def _at_or_after(self, tp: TopicPartition, offset: int) -> Record | None:
        self._reader.assign({tp: offset})
        fetched = await self._reader.fetch(max_wait_s=_FETCH_WAIT_S, max_records=1)
        return fetched[tp].records[0] if tp in fetched and fetched[tp].records else None


def _source_offset(record: Record) -> int:
    """The source offset of a record; -1 where it has none (what the ingest service quarantined)."""
    value = header(record, HEADER_SOURCE_OFFSET)
    return -1 if value is None else decode_source_offset(value)
