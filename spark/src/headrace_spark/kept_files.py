"""Whether the files of an older generation are still kept: retention deletes replaced ones after a week."""

from __future__ import annotations

import asyncio

from headrace_core.errors import UsageError
from headrace_core.lake import Generation
from headrace_runtime.ports_store import ObjectStore

__all__ = ["check_kept"]

_LOOKS_AT_ONCE = 16


async def check_kept(store: ObjectStore, generation: Generation, *, deadline_s: float) -> None:
    """UsageError where a file that the generation names is gone: a pointer to it would name a day that nobody can read.
    ``deadline_s`` bounds each look."""
    keys = [file.key for files in generation.tables.values() for file in files]
    looks = asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def is_there(key: str) -> bool:
        async with looks:
            return await store.exists(key, deadline_s=deadline_s)

    there = await asyncio.gather(*map(is_there, keys))
    gone = [key for key, found in zip(keys, there, strict=True) if not found]
    if gone:
        raise UsageError(
            f"The generation of {generation.event_date} before the run is no longer kept.",
            why=f"{len(gone)} of its {len(keys)} files are gone, {gone[0]} among them.",
            fix="Reprocess the days again, with the rules that are right; retention.generationDays says how long an undo is possible.",
            code="undo_refused",
        )
