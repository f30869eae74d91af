"""Finds the extracts that hold rows of erased subjects (rule E3)."""

from __future__ import annotations

from collections.abc import Collection

from headrace_core.paths import exports_prefix
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.ports import Suppressions
from headrace_spark.subject_rows import SparkSubjectRows

__all__ = ["extract_of", "find_extracts"]

_PERSONAL = ("sessions", "user_day")
"""Tables with a row, or a row a day, for a person."""


async def find_extracts(
    store: ObjectStore,
    rows: SparkSubjectRows,
    subjects: Suppressions,
    *,
    begun: Collection[str],
    deadline_s: float,
) -> dict[str, list[str]]:
    """The whole extracts that hold a row of the subjects: the keys of each, by its folder. Files of Tableau are not looked
    into: all that are of persons go. So do those of ``begun``, of which an attempt before may have left a part."""
    doomed: dict[str, list[str]] = {folder: [] for folder in begun}
    for table in _PERSONAL:
        entries = await store.list(f"{exports_prefix()}{table}/", deadline_s=deadline_s)
        keys = [entry.key for entry in entries]
        holding = await rows.among([key for key in keys if key.endswith(".parquet")], subjects)
        opaque = [key for key in keys if key.endswith(".hyper")]
        doomed |= {extract_of(key): doomed.get(extract_of(key), []) for key in [*holding, *opaque]}
        for key in keys:
            if extract_of(key) in doomed:
                doomed[extract_of(key)].append(key)
    return doomed


def extract_of(key: str) -> str:
    """The folder of an extract that a key lies in: ``exports/<table>/run=…/attempt=…/``."""
    return "/".join(key.split("/")[:4]) + "/"
