"""What an owner reads besides new records, on the log in memory."""

from collections.abc import AsyncIterator

import pytest
from tests.support.owner_bench import Bench

from headrace_core.meta import QuarantineNote, encode_note, encode_source_offset
from headrace_core.reasons import Reason
from headrace_dedup import log_reading as reading
from headrace_dedup import messages as m
from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.memory_log import MemoryLog, MemoryLogReader
from headrace_runtime.ports_log import Batch, Records, TopicPartition, TopicSpec

_TP = TopicPartition("topic", 0)
_HOUR_MS = 3_600_000
_DEADLINE_S = 2.0


class Log:
    """One partition whose append times the test sets."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.memory = MemoryLog(now_ms=lambda: self.now_ms)
        self.memory.create(TopicSpec(_TP.topic, 1))

    def append(self, value: bytes, headers: list[tuple[str, bytes]] | None = None, key: bytes = b"k") -> None:
        """One record now."""
        partition = self.memory.partition(_TP)
        assert partition is not None
        self.memory.append(partition, Batch([key], [value], [headers or []]))


@pytest.fixture
async def log() -> Log:
    return Log()


@pytest.fixture
async def reader(log: Log) -> AsyncIterator[MemoryLogReader]:
    made = MemoryLogReader(log.memory)
    await made.start()
    yield made
    await made.stop()


def _hourly_blocks(log: Log, hours: int, *, lag_ms: int = 0) -> None:
    """An hourly block of one record whose clock is the hour."""
    bench = Bench()
    owner = bench.owner().start()
    for hour in range(hours):
        bench.add("x", at=hour * _HOUR_MS)
        owner.feed().settle()
    for hour, block in enumerate(bench.index):
        log.now_ms = hour * _HOUR_MS + lag_ms
        log.append(block)


async def test_reading_begins_a_window_before_the_last_clock(log: Log, reader: MemoryLogReader) -> None:
    _hourly_blocks(log, 60)
    first = await reading.first_position(reader, _TP, window_ms=24 * _HOUR_MS, deadline_s=_DEADLINE_S)
    assert first == 60 - 24


@pytest.mark.parametrize("lag_h", [100, -30])
async def test_the_clock_of_the_index_does_not_matter(log: Log, reader: MemoryLogReader, lag_h: int) -> None:
    """A worker that caught up wrote old clocks at new times; a leader of the index may be behind that of events.raw."""
    _hourly_blocks(log, 60, lag_ms=lag_h * _HOUR_MS)
    first = await reading.first_position(reader, _TP, window_ms=24 * _HOUR_MS, deadline_s=_DEADLINE_S)
    assert first == 60 - 24


async def test_an_empty_index_begins_at_its_start(log: Log, reader: MemoryLogReader) -> None:
    assert await reading.first_position(reader, _TP, window_ms=1, deadline_s=_DEADLINE_S) == 0
    parts = [part async for part in reading.read_index(reader, _TP, 0, deadline_s=_DEADLINE_S)]
    assert parts == [m.IndexRead((), 0, at_end=True)]


async def test_the_index_comes_in_parts_that_say_where_they_end(log: Log, reader: MemoryLogReader) -> None:
    for number in range(1_200):
        log.append(str(number).encode())
    parts = [part async for part in reading.read_index(reader, _TP, 100, deadline_s=_DEADLINE_S)]
    assert [part.at_end for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].next_offset == 1_200
    assert [int(r.value) for part in parts for r in part.records] == list(range(100, 1_200))


async def test_a_range_holds_what_the_log_still_has(log: Log, reader: MemoryLogReader) -> None:
    for number in range(10):
        log.append(str(number).encode())
    log.memory.truncate(_TP, 4)
    found = await reading.read_range(reader, _TP, 2, 7, deadline_s=_DEADLINE_S)
    assert [record.offset for record in found] == [4, 5, 6]
    assert await reading.read_range(reader, _TP, 0, 3, deadline_s=_DEADLINE_S) == []


async def test_quarantine_with_source_offsets_is_told_from_that_of_ingest(
    log: Log, reader: MemoryLogReader
) -> None:
    log.append(b"refused by ingest", [("q", b"{}")])
    assert not await reading.has_source_offsets(reader, _TP, deadline_s=_DEADLINE_S)
    note = encode_note(QuarantineNote(reason="wrong_type", stage="dedup"))
    log.append(b"by dedup", [("s", encode_source_offset(9)), ("q", note)])
    assert await reading.has_source_offsets(reader, _TP, deadline_s=_DEADLINE_S)
    found = await reading.read_quarantined(reader, _TP, deadline_s=_DEADLINE_S)
    assert found == {9: Reason.WRONG_TYPE.number}


async def test_accepted_offsets_come_once_ascending_and_from_inside_the_window(
    log: Log, reader: MemoryLogReader
) -> None:
    for hour, source in ((0, 1), (40, 5), (41, 6), (41, 5), (42, 6), (43, 8)):
        log.now_ms = hour * _HOUR_MS
        log.append(b"v", [("s", encode_source_offset(source))], key=bytes([source]) * 16)
    parts = [
        part
        async for part in reading.read_accepted(
            reader, _TP, above=-1, window_ms=24 * _HOUR_MS, deadline_s=_DEADLINE_S
        )
    ]
    assert [list(part.offsets) for part in parts] == [[5, 6, 8]]
    assert parts[0].ids[0] == bytes([5]) * 16
    assert parts[0].at_end


async def test_silence_is_an_error_that_can_be_tried_again(log: Log) -> None:
    log.append(b"v")
    with pytest.raises(LogUnavailable):
        await reading.read_range(_Silent(log.memory), _TP, 0, 1, deadline_s=0.0)


class _Silent(MemoryLogReader):
    """A reader whose brokers never answer a fetch."""

    async def fetch(self, *, max_wait_s: float, max_records: int = 10_000) -> dict[TopicPartition, Records]:
        """Nothing."""
        return {}


async def test_the_last_valid_block_is_found_behind_void_ones(log: Log, reader: MemoryLogReader) -> None:
    _hourly_blocks(log, 30)
    records = await reading.read_range(reader, _TP, 3, 4, deadline_s=_DEADLINE_S)
    for _ in range(200):
        log.append(records[0].value or b"")
    first = await reading.first_position(reader, _TP, window_ms=24 * _HOUR_MS, deadline_s=_DEADLINE_S)
    assert first == 30 - 24


async def test_void_blocks_do_not_mislead_the_search(log: Log, reader: MemoryLogReader) -> None:
    _hourly_blocks(log, 3)
    records = await reading.read_range(reader, _TP, 0, 3, deadline_s=_DEADLINE_S)
    void = [record.value or b"" for record in records]
    mixed = Log()
    for value in (void[0], void[2], void[2], void[0]):
        mixed.append(value)
    other = MemoryLogReader(mixed.memory)
    await other.start()
    first = await reading.first_position(other, _TP, window_ms=2 * _HOUR_MS, deadline_s=_DEADLINE_S)
    await other.stop()
    assert first == 1, "blocks 0 and 2 are valid, two hours apart"
