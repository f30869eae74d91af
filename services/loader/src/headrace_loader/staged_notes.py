"""Notes on batches.staged: sent by a task of its own from a bounded queue, so that nothing ever waits for them."""

from __future__ import annotations

import asyncio
import logging

from headrace_core.errors import Unavailable
from headrace_core.manifest import Manifest
from headrace_core.notes import encode_staged_note, staged_note
from headrace_core.paths import manifest_key
from headrace_core.topics import BATCHES_STAGED
from headrace_runtime.ports_log import Batch, LogWriter, TopicPartition

__all__ = ["StagedNotes"]

_log = logging.getLogger(__name__)
_WAITING = 1_000
_DEADLINE_S = 5.0
_PLACE = TopicPartition(BATCHES_STAGED.name, 0)


class StagedNotes:
    """Sends a note per manifest. A full queue or a log that does not answer costs the note, never the manifest."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(maxsize=_WAITING)

    def add(self, manifest: Manifest, repeats: int) -> None:
        """Queue the note about a manifest, or drop it where too many wait."""
        key = manifest_key(manifest.kind, manifest.partition, manifest.start)
        if not self._waiting.full():
            self._waiting.put_nowait((key, encode_staged_note(staged_note(manifest, repeats))))

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            key, note = await self._waiting.get()
            try:
                if self._writer.failed(_PLACE):
                    await self._writer.recreate(_PLACE, deadline_s=_DEADLINE_S)
                await self._writer.append(_PLACE, Batch([key.encode()], [note]), deadline_s=_DEADLINE_S)
            except Unavailable as error:
                _log.warning(
                    "A note about a manifest was not sent; readers find the manifest by themselves.",
                    extra={"key": key, "why": error.why},
                )
