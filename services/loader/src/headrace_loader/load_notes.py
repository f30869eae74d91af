"""The load's part of batches.staged and batches.loaded: hints in, notes out. Neither may hold up or stop the load."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headrace_core.errors import HeadraceError, Unavailable
from headrace_core.notes import LoadedNote, encode_loaded_note
from headrace_core.paths import manifest_key
from headrace_core.topics import BATCHES_LOADED, BATCHES_STAGED
from headrace_loader.warehouse import LedgerEntry
from headrace_runtime.ports_log import Batch, LogReader, LogWriter, TopicPartition
from headrace_runtime.process import Lifecycle

__all__ = ["LoadedNotes", "StagedHints", "loaded_note"]

_log = logging.getLogger(__name__)
_WAITING = 1_000
_DEADLINE_S = 5.0
_RETRY_S = 5.0
_FETCH_S = 0.5
_LOADED = TopicPartition(BATCHES_LOADED.name, 0)
_STAGED = TopicPartition(BATCHES_STAGED.name, 0)


def loaded_note(entry: LedgerEntry) -> LoadedNote:
    """The note about a ledger entry."""
    return LoadedNote(
        file_key=entry.key,
        partition=entry.partition,
        start=entry.chain_start,
        end=entry.chain_end,
        rows=entry.rows,
        inserted=entry.inserted,
        present=entry.present,
        suppressed=entry.suppressed,
        max_received_ts=entry.max_received_us,
        loaded_ts=entry.loaded_us,
    )


class LoadedNotes:
    """Sends a note per loaded file from a bounded queue. A full queue costs the note, never the load."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._waiting: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue(maxsize=_WAITING)

    def add(self, entry: LedgerEntry) -> None:
        """Queue the note about a file, or drop it where too many wait."""
        key = manifest_key("events", entry.partition, entry.chain_start)
        if not self._waiting.full():
            self._waiting.put_nowait((key.encode(), encode_loaded_note(loaded_note(entry))))

    async def run(self) -> None:
        """Send until cancelled."""
        await _started(self._writer.start)
        try:
            while True:
                key, note = await self._waiting.get()
                await self._send(Batch([key], [note]))
        finally:
            await self._writer.stop()

    async def _send(self, batch: Batch) -> None:
        try:
            if self._writer.failed(_LOADED):
                await self._writer.recreate(_LOADED, deadline_s=_DEADLINE_S)
            await self._writer.append(_LOADED, batch, deadline_s=_DEADLINE_S)
        except HeadraceError as error:
            _log.warning(
                "A note about a loaded file was not sent.", extra={"why": error.why, "code": error.code}
            )


class StagedHints:
    """Ends the load's pause early when something was staged, but never before ``shortest_s``: a pause gathers files."""

    def __init__(self, life: Lifecycle, reader: LogReader, *, shortest_s: float) -> None:
        self._life = life
        self._reader = reader
        self._shortest_s = shortest_s
        self._hinted = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait for ``seconds`` or a hint; whether the process goes on."""
        if not await self._life.sleep(min(seconds, self._shortest_s)):
            return False
        left_s = max(0.0, seconds - self._shortest_s)
        waits = [asyncio.ensure_future(event.wait()) for event in (self._hinted, self._life.stopping)]
        await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._hinted.clear()
        return not self._life.stopping.is_set()

    async def run(self) -> None:
        """Read the topic from its end until cancelled. An error only costs hints."""
        await _started(self._reader.start)
        try:
            while True:
                try:
                    await self._read()
                except HeadraceError as error:
                    _log.warning(
                        "Hints on staged files are not read.", extra={"why": error.why, "code": error.code}
                    )
                    await asyncio.sleep(_RETRY_S)
        finally:
            await self._reader.stop()

    async def _read(self) -> None:
        ends = await self._reader.end_offsets([_STAGED], deadline_s=_DEADLINE_S)
        self._reader.assign(ends)
        while True:
            found = await self._reader.fetch(max_wait_s=_FETCH_S)
            if any(records.records for records in found.values()):
                self._hinted.set()


async def _started(start: Callable[..., Awaitable[None]]) -> None:
    """Start a client of the log, for as long as it takes."""
    while True:
        try:
            await start(deadline_s=_DEADLINE_S)
        except Unavailable:
            await asyncio.sleep(_RETRY_S)
        else:
            return
