"""Generations of a day made by hand: rows as Parquet in an object store, and the object that names the files."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.copies import Copy, settle
from headrace_core.events import CleanEvent
from headrace_core.lake import Generation, LakeFile, LakeTable, PlanId
from headrace_core.paths import lake_prefix
from headrace_core.tables import Table
from headrace_loader.load_files import CheckedFile
from headrace_loader.parquet import arrow_schema
from headrace_loader.rollups import is_late
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.warehouse_copy import wire_schema

__all__ = ["generation_of", "lake_rows", "put_file", "rows_of"]

Row = dict[str, Any]


def rows_of(file: CheckedFile) -> list[Row]:
    """The rows of a staged file, each with its file id."""
    return pq.read_table(pa.BufferReader(file.content)).to_pylist()


def lake_rows(files: Iterable[CheckedFile], day: date, *, without: str | None = None) -> list[Row]:
    """The rows of ``day`` of a lake that has read ``files``: of copies within a day the lowest stays (rule L2), those of
    the user ``without``, who was suppressed before, excepted."""
    rows = {
        (row["src_partition"], row["src_offset"]): row
        for file in files
        for row in rows_of(file)
        if without is None or row["user_id"] != without
    }
    copies = [
        Copy(row["dedup_id"], row["event_ts"].date(), place, row["file_id"]) for place, row in rows.items()
    ]
    kept = settle(copies, []).absent
    return [rows[copy.position] for copy in kept if copy.event_date == day]


async def generation_of(
    store: MemoryObjectStore,
    day: date | datetime,
    rows: Sequence[Row],
    contains: Collection[CheckedFile],
    *,
    name: str = "g",
    tables: Mapping[Table, Sequence[Row]] | None = None,
    files: int = 1,
) -> Generation:
    """Write a generation whose events are ``rows`` in so many files, and whose aggregates are ``tables``."""
    event_date = day.date() if isinstance(day, datetime) else day
    parts = [rows[at::files] for at in range(files)]
    events = [_events(part) for part in parts if part]
    contents: dict[str, list[pa.Table]] = {"events": events}
    for table, values in (tables or {}).items():
        contents[table.name] = [pa.Table.from_pylist(list(values), schema=wire_schema(table))]
    named: dict[LakeTable, tuple[LakeFile, ...]] = {}
    for table_name, parquets in contents.items():
        prefix = lake_prefix(table_name, event_date.isoformat(), name)
        keys = [f"{prefix}part-{at}.parquet" for at in range(len(parquets))]
        written = [await put_file(store, key, part) for key, part in zip(keys, parquets, strict=True)]
        named[table_name] = tuple(written)  # type: ignore[index] # names of the lake's tables
    return Generation(
        id=PlanId(run=name, attempt=1, plan=1),
        job="daily",
        event_date=event_date.isoformat(),
        contains=tuple(file.entry.file.key for file in contains),
        tables=named,
        made_ms=0,
    )


def _events(rows: Sequence[Row]) -> pa.Table:
    schema = arrow_schema(CleanEvent, "file_id")
    schema = schema.append(pa.field("event_date", pa.date32())).append(pa.field("is_late", pa.bool_()))
    return pa.Table.from_pylist(
        [{**row, "event_date": row["event_ts"].date(), "is_late": is_late(row)} for row in rows],
        schema=schema,
    )


async def put_file(store: MemoryObjectStore, key: str, table: pa.Table) -> LakeFile:
    """Write one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = bytes(sink.getvalue())
    await store.put(key, content, deadline_s=10)
    return LakeFile(
        key=key,
        rows=table.num_rows,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
