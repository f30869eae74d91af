"""Finds the lake's files that an erasure has to delete, once no run that planned before it can swap (rule E3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from headrace_core.lake import Generation
from headrace_core.paths import lake_root, parse_lake_key
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.erasing import since_erasure
from headrace_spark.ports import LakeRecords

__all__ = ["LakeOrphans", "find_orphans"]


@dataclass(frozen=True, slots=True)
class LakeOrphans:
    """Keys of files that are there: those to delete, of all tables; the files of events among them; and the files of events
    that stay."""

    doomed: tuple[str, ...]
    doomed_events: frozenset[str]
    kept_events: frozenset[str]


async def find_orphans(
    store: ObjectStore,
    records: LakeRecords,
    ended: Collection[tuple[str, int]],
    *,
    run: str,
    deadline_s: float,
) -> LakeOrphans:
    """The lake's files that attempts which have ended wrote and that no generation names which a day has had since the
    erasing ``run`` swapped it."""
    named: set[str] = set()
    for day in await records.days():
        for generation in since_erasure(await records.history(day), run):
            named.update(_keys(generation))
    there = [entry.key for entry in await store.list(lake_root(), deadline_s=deadline_s)]
    doomed = tuple(key for key in there if key not in named and _writer(key) in ended)
    return LakeOrphans(doomed, _events(doomed), _events(named.intersection(there)))


def _keys(generation: Generation) -> Iterable[str]:
    return (file.key for files in generation.tables.values() for file in files)


def _events(keys: Iterable[str]) -> frozenset[str]:
    places = ((key, parse_lake_key(key)) for key in keys if key.endswith(".parquet"))
    return frozenset(key for key, place in places if place is not None and place.table == "events")


def _writer(key: str) -> tuple[str, int] | None:
    """Run and attempt of the generation that a file was written for."""
    place = parse_lake_key(key)
    parts = [] if place is None else place.generation.rsplit(".", 2)
    if len(parts) != 3 or not parts[1].isdecimal():
        return None
    return parts[0], int(parts[1])
