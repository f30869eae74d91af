"""Deletes the lake's files that an erasure has replaced, once no run that planned before it can swap (rule E3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from headrace_core.lake import Generation
from headrace_core.paths import lake_root, parse_lake_key
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.erasing import since_erasure
from headrace_spark.ports import LakeRecords

__all__ = ["delete_orphans"]


async def delete_orphans(
    store: ObjectStore,
    records: LakeRecords,
    ended: Collection[tuple[str, int]],
    *,
    run: str,
    deadline_s: float,
) -> int:
    """Delete the lake's files that attempts which have ended wrote and that no generation names which a day has had since
    the erasing ``run`` swapped it; how many."""
    named: set[str] = set()
    for day in await records.days():
        for generation in since_erasure(await records.history(day), run):
            named.update(_keys(generation))
    entries = await store.list(lake_root(), deadline_s=deadline_s)
    doomed = [entry.key for entry in entries if entry.key not in named and _writer(entry.key) in ended]
    await store.delete(doomed, deadline_s=deadline_s)
    return len(doomed)


def _keys(generation: Generation) -> Iterable[str]:
    return (file.key for files in generation.tables.values() for file in files)


def _writer(key: str) -> tuple[str, int] | None:
    """Run and attempt of the generation that a file was written for."""
    place = parse_lake_key(key)
    parts = [] if place is None else place.generation.rsplit(".", 2)
    if len(parts) != 3 or not parts[1].isdecimal():
        return None
    return parts[0], int(parts[1])
