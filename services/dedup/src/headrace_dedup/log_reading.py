"""What an owner has to read besides new raw records: the index, a range again, traces of an earlier life.

Each function uses a reader of its own, reads to the end that the log had when it began, and raises the errors of the log
ports; the caller repeats it where the log is unavailable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from headrace_core.block import BlockHeader, is_valid_at, split_block
from headrace_core.meta import decode_note, decode_source_offset
from headrace_core.reasons import Reason
from headrace_core.topics import HEADER_QUARANTINE, HEADER_SOURCE_OFFSET
from headrace_dedup.messages import AcceptedRead, IndexRead, IndexRecord
from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.ports_log import LogReader, Record, Records, TopicPartition

__all__ = [
    "first_position",
    "has_source_offsets",
    "read_accepted",
    "read_index",
    "read_quarantined",
    "read_range",
]

_CLOCK_SLACK_MS = 15 * 60_000
"""How far the clocks of two brokers may be apart."""
_TAIL = 64
_FETCH_WAIT_S = 1.0
_CHUNK = 50_000
_PART_BLOCKS = 50
"""Of 160 KB each where ranges are full."""


async def _follow(
    reader: LogReader, tp: TopicPartition, start: int, end: int, *, deadline_s: float, at_most: int = 10_000
) -> AsyncIterator[Records]:
    """Everything from ``start`` to ``end``; LogUnavailable where nothing comes for ``deadline_s``."""
    reader.assign({tp: start})
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline_s
    while reader.position(tp) < end:
        got = (await reader.fetch(max_wait_s=_FETCH_WAIT_S, max_records=at_most)).get(tp)
        if got is not None:
            until = loop.time() + deadline_s
            yield Records([record for record in got.records if record.offset < end], got.next_offset)
        elif loop.time() > until:
            raise LogUnavailable(
                f"Nothing more of partition {tp.partition} of {tp.topic} came within {deadline_s:g} s.",
                why=f"Reading stopped at offset {reader.position(tp)} of {end}.",
                fix="Check that the brokers are well; the read is repeated.",
                code="log_unavailable",
            )


async def _bounds(reader: LogReader, tp: TopicPartition, deadline_s: float) -> tuple[int, int]:
    starts = await reader.beginning_offsets([tp], deadline_s=deadline_s)
    ends = await reader.end_offsets([tp], deadline_s=deadline_s)
    return starts[tp], ends[tp]


async def _record_at(
    reader: LogReader, tp: TopicPartition, offset: int, end: int, deadline_s: float
) -> Record | None:
    """The first record at or above an offset."""
    async for records in _follow(reader, tp, offset, end, deadline_s=deadline_s, at_most=1):
        if records.records:
            return records.records[0]
    return None


async def _offset_of_time(
    reader: LogReader, tp: TopicPartition, bounds: tuple[int, int], time_ms: int, deadline_s: float
) -> int:
    """An offset below which every record was appended before ``time_ms``; by bisection, a record a step."""
    low, high = bounds
    while low < high:
        middle = (low + high) // 2
        record = await _record_at(reader, tp, middle, bounds[1], deadline_s)
        if record is None or record.timestamp >= time_ms:
            high = middle
        else:
            low = record.offset + 1
    return low


async def first_position(reader: LogReader, tp: TopicPartition, *, window_ms: int, deadline_s: float) -> int:
    """Where to begin reading the index (rule D6): behind the last block whose clock is a window before the last valid one's.

    Searched by the clocks in the valid blocks, which never fall. Append times of the index are another broker's: were its
    clock behind that of events.raw, ids inside the window would be left out.
    """
    start, end = await _bounds(reader, tp, deadline_s)
    last = await _last_valid(reader, tp, start, end, deadline_s)
    if last is None:
        return start
    limit_ms = last.clock_ms - window_ms
    low, high = start, last.index_offset
    while low < high:
        middle = (low + high) // 2
        found = await _first_valid(reader, tp, middle, last.index_offset, deadline_s)
        if found is None or found.clock_ms > limit_ms:
            high = middle
        else:
            low = found.index_offset + 1
    return low


async def _first_valid(
    reader: LogReader, tp: TopicPartition, start: int, end: int, deadline_s: float
) -> BlockHeader | None:
    """Header of the first valid block from ``start`` to before ``end``."""
    async for records in _follow(reader, tp, start, end, deadline_s=deadline_s, at_most=1):
        for record in records.records:
            header, _ = split_block(record.value or b"")
            if is_valid_at(header, record.offset):
                return header
    return None


async def _last_valid(
    reader: LogReader, tp: TopicPartition, start: int, end: int, deadline_s: float
) -> BlockHeader | None:
    """Header of the last valid block, searched backwards in growing steps."""
    size, upper = _TAIL, end
    while upper > start:
        lower = max(start, upper - size)
        found: BlockHeader | None = None
        async for records in _follow(reader, tp, lower, upper, deadline_s=deadline_s):
            for record in records.records:
                header, _ = split_block(record.value or b"")
                found = header if is_valid_at(header, record.offset) else found
        if found is not None:
            return found
        upper, size = lower, size * 4
    return None


async def read_index(
    reader: LogReader, tp: TopicPartition, position: int, *, deadline_s: float
) -> AsyncGenerator[IndexRead, None]:
    """The index from ``position`` to its end, in parts."""
    _, end = await _bounds(reader, tp, deadline_s)
    if position >= end:
        yield IndexRead((), position, at_end=True)
        return
    async for part in _follow(reader, tp, position, end, deadline_s=deadline_s, at_most=_PART_BLOCKS):
        blocks = [IndexRecord(record.offset, record.value or b"") for record in part.records]
        at_end = part.next_offset >= end
        yield IndexRead(blocks, end if at_end else part.next_offset, at_end)


async def read_range(
    reader: LogReader, tp: TopicPartition, start: int, end: int, *, deadline_s: float
) -> list[Record]:
    """Every raw record that the log still has of a range."""
    first, last = await _bounds(reader, tp, deadline_s)
    found: list[Record] = []
    start, end = max(start, first), min(end, last)
    if start < end:
        async for part in _follow(reader, tp, start, end, deadline_s=deadline_s):
            found += part.records
    return found


def _source_offset(record: Record) -> int | None:
    for name, value in record.headers:
        if name == HEADER_SOURCE_OFFSET and value is not None:
            return decode_source_offset(value)
    return None


async def has_source_offsets(reader: LogReader, tp: TopicPartition, *, deadline_s: float) -> bool:
    """Whether a record of events.quarantine stems from a decided raw record."""
    start, end = await _bounds(reader, tp, deadline_s)
    if start < end:
        async for part in _follow(reader, tp, start, end, deadline_s=deadline_s):
            if any(_source_offset(record) is not None for record in part.records):
                return True
    return False


async def read_quarantined(reader: LogReader, tp: TopicPartition, *, deadline_s: float) -> dict[int, int]:
    """Source offset to reason number of what stands in events.quarantine."""
    start, end = await _bounds(reader, tp, deadline_s)
    found: dict[int, int] = {}
    if start < end:
        async for part in _follow(reader, tp, start, end, deadline_s=deadline_s):
            for record in part.records:
                source = _source_offset(record)
                if source is not None:
                    found[source] = _reason_number(record)
    return found


def _reason_number(record: Record) -> int:
    note = next((value for name, value in record.headers if name == HEADER_QUARANTINE), None)
    return Reason[decode_note(note or b"").reason.upper()].number


async def read_accepted(
    reader: LogReader, tp: TopicPartition, *, above: int, window_ms: int, deadline_s: float
) -> AsyncGenerator[AcceptedRead, None]:
    """What events.clean says was accepted above a source offset and inside the window, each offset once, ascending.

    The last part says ``at_end``, without what stands in quarantine.
    """
    start, end = await _bounds(reader, tp, deadline_s)
    newest = await _record_at(reader, tp, max(start, end - 1), end, deadline_s) if start < end else None
    if newest is not None:
        oldest_ms = newest.timestamp - window_ms - _CLOCK_SLACK_MS
        start = await _offset_of_time(reader, tp, (start, end), oldest_ms, deadline_s)
    offsets: list[int] = []
    ids: list[bytes] = []
    times: list[int] = []
    highest = above
    if start < end:
        async for part in _follow(reader, tp, start, end, deadline_s=deadline_s):
            for record in part.records:
                source = _source_offset(record)
                if source is not None and source > highest:
                    highest = source
                    offsets.append(source)
                    ids.append(record.key or b"")
                    times.append(record.timestamp)
            if len(offsets) >= _CHUNK:
                yield AcceptedRead(offsets, ids, times, at_end=False)
                offsets, ids, times = [], [], []
    yield AcceptedRead(offsets, ids, times, at_end=True)
