"""Deletes what an erasure has replaced, once no run that planned before it can swap: lake files, extracts (rule E3)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from headrace_core.lake import Generation
from headrace_core.paths import exports_prefix, lake_root, parse_lake_key
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.ports import LakeRecords, Suppressions
from headrace_spark.subject_rows import SparkSubjectRows

__all__ = ["delete_extracts", "delete_orphans", "extract_of"]

_PERSONAL = ("sessions", "user_day")
"""Tables with a row, or a row a day, for a person."""


async def delete_orphans(
    store: ObjectStore, records: LakeRecords, ended: Collection[tuple[str, int]], *, deadline_s: float
) -> int:
    """Delete the lake's files that attempts which have ended wrote and that no current generation names."""
    named: set[str] = set()
    for day in await records.days():
        generation = (await records.state(day)).generation
        named |= set() if generation is None else set(_keys(generation))
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


async def delete_extracts(
    store: ObjectStore, rows: SparkSubjectRows, subjects: Suppressions, *, deadline_s: float
) -> int:
    """Delete whole extracts that hold a row of the subjects. Files of Tableau are not looked into: all that are of persons
    go."""
    doomed: set[str] = set()
    keys: list[str] = []
    for table in _PERSONAL:
        entries = await store.list(f"{exports_prefix()}{table}/", deadline_s=deadline_s)
        of_table = [entry.key for entry in entries]
        parquet = [key for key in of_table if key.endswith(".parquet")]
        holding = await rows.among(parquet, subjects)
        doomed |= {
            extract_of(key) for key in [*holding, *(key for key in of_table if key.endswith(".hyper"))]
        }
        keys += of_table
    await store.delete([key for key in keys if extract_of(key) in doomed], deadline_s=deadline_s)
    return len(doomed)


def extract_of(key: str) -> str:
    """The folder of an extract that a key lies in: ``exports/<table>/run=…/attempt=…/``."""
    return "/".join(key.split("/")[:4]) + "/"
