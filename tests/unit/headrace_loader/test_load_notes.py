"""Hints and notes of the load: useful while the log is there, harmless while it is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from headrace_core.clock import ManualClock
from headrace_core.notes import decode_loaded_note
from headrace_core.topics import BATCHES_LOADED, BATCHES_STAGED
from headrace_loader.load_notes import LoadedNotes, StagedHints, loaded_note
from headrace_loader.warehouse import LedgerEntry
from headrace_runtime.errors_log import AppendUnknown
from headrace_runtime.memory_log import MemoryLog, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec
from headrace_runtime.process import Lifecycle
from headrace_runtime.settings import ProcessSettings
from headrace_runtime.telemetry import Telemetry

STAGED = TopicPartition(BATCHES_STAGED.name, 0)
LOADED = TopicPartition(BATCHES_LOADED.name, 0)
ENTRY = LedgerEntry(
    file_id=7,
    key="staged/events/x.parquet",
    partition=3,
    chain_start=10,
    chain_end=20,
    rows=9,
    inserted=5,
    present=3,
    suppressed=1,
    min_received_us=1,
    max_received_us=2,
    schema_version=1,
    loaded_us=4,
    writer="w",
)


@pytest.fixture
def log() -> MemoryLog:
    """A log with the two topics."""
    made = MemoryLog()
    for topic in (BATCHES_STAGED, BATCHES_LOADED):
        made.create(TopicSpec(topic.name, 1, 1))
    return made


@asynccontextmanager
async def _running(run: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _notes(log: MemoryLog, count: int) -> list[bytes]:
    reader = MemoryLogReader(log)
    await reader.start()
    reader.assign({LOADED: 0})
    values: list[bytes] = []
    while len(values) < count:
        for records in (await reader.fetch(max_wait_s=5)).values():
            values += [record.value or b"" for record in records.records]
    return values


def _life() -> Lifecycle:
    settings = ProcessSettings.model_validate({"instance": "t"})
    return Lifecycle("load", settings, ManualClock(), Telemetry("t", "t"))


async def test_a_note_tells_what_became_of_a_file(log: MemoryLog) -> None:
    notes = LoadedNotes(MemoryLogWriter(log))
    async with _running(notes.run):
        notes.add(ENTRY)
        [value] = await asyncio.wait_for(_notes(log, 1), 10)
    assert decode_loaded_note(value) == loaded_note(ENTRY)
    assert (loaded_note(ENTRY).inserted, loaded_note(ENTRY).start) == (5, 10)


async def test_a_note_that_gets_lost_does_not_stop_the_next(log: MemoryLog) -> None:
    class Losing(MemoryLogWriter):
        losses = 1

        async def append(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> int:
            if self.losses:
                self.losses -= 1
                raise AppendUnknown("no answer", why="the test says so")
            return await super().append(tp, batch, deadline_s=deadline_s)

    notes = LoadedNotes(Losing(log))
    async with _running(notes.run):
        notes.add(ENTRY)
        notes.add(ENTRY)
        assert len(await asyncio.wait_for(_notes(log, 1), 10)) == 1


async def test_notes_that_nobody_sends_are_dropped(log: MemoryLog) -> None:
    notes = LoadedNotes(MemoryLogWriter(log))
    for _ in range(5_000):
        notes.add(ENTRY)
    async with _running(notes.run):
        assert len(await asyncio.wait_for(_notes(log, 1_000), 10)) == 1_000


async def test_a_hint_ends_a_long_pause(log: MemoryLog) -> None:
    hints = StagedHints(_life(), MemoryLogReader(log), shortest_s=0)
    writer = MemoryLogWriter(log)
    await writer.start()

    async def keep_hinting() -> None:
        while True:
            await writer.append(STAGED, Batch([b"key"], [b"{}"]), deadline_s=1)
            await asyncio.sleep(0.01)

    async with _running(hints.run), _running(keep_hinting):
        assert await asyncio.wait_for(hints.wait(3600), 10)


async def test_without_hints_a_pause_lasts_as_long_as_it_should(log: MemoryLog) -> None:
    hints = StagedHints(_life(), MemoryLogReader(log), shortest_s=0)
    assert await asyncio.wait_for(hints.wait(0.01), 10)


async def test_a_stop_ends_a_pause(log: MemoryLog) -> None:
    life = _life()
    hints = StagedHints(life, MemoryLogReader(log), shortest_s=0)
    waiting = asyncio.ensure_future(hints.wait(3600))
    await asyncio.sleep(0)
    life.stopping.set()
    assert not await asyncio.wait_for(waiting, 10)
