"""Deletes the extracts that hold rows of erased subjects (rule E3)."""

from __future__ import annotations

from headrace_core.paths import exports_prefix
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.ports import Suppressions
from headrace_spark.subject_rows import SparkSubjectRows

__all__ = ["delete_extracts", "extract_of"]

_PERSONAL = ("sessions", "user_day")
"""Tables with a row, or a row a day, for a person."""


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
