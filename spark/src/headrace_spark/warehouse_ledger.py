"""Which staged files the warehouse has loaded: a reprocess takes rows of these alone (rule B4)."""

from __future__ import annotations

from collections.abc import Collection

from headrace_core.keys import file_id
from headrace_core.tables import LOAD_LEDGER
from headrace_runtime.warehouse import PostgresConnection

__all__ = ["loaded_files"]

_LOADED = f"SELECT file_key FROM {LOAD_LEDGER.full_name} WHERE file_id = ANY(%s)"


async def loaded_files(dsn: str, keys: Collection[str]) -> frozenset[str]:
    """Of these keys those that stand in ops.load_ledger. Raises Unavailable."""
    connection = await PostgresConnection.connect(dsn, application_name="headrace-reprocess")
    try:
        found = await connection.execute(_LOADED, [[file_id(key) for key in sorted(keys)]])
    finally:
        await connection.close()
    return frozenset(row[0] for row in found).intersection(keys)
