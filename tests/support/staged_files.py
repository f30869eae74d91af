"""Staged files made by hand: clean events as Parquet, with the manifest entry that names them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.events import CleanEvent
from headrace_core.keys import dedup_id
from headrace_core.manifest import File, Manifest
from headrace_loader.load_files import CheckedFile, ManifestFile, check_file
from headrace_loader.parquet import arrow_schema

__all__ = ["DAY", "clean_row", "encode_rows", "manifest_of", "staged_file"]

DAY = datetime(2026, 11, 20, tzinfo=UTC)
"""Midnight of the day that most rows are of."""


def clean_row(event: str, *, at: datetime = DAY, offset: int = 0, **more: Any) -> dict[str, Any]:
    """A row of the event with id ``event``: required columns filled in, the others null unless given in ``more``."""
    source = more.get("source", "shop")
    user = more.get("user_id")
    row: dict[str, Any] = {
        "dedup_id": dedup_id(source, event).hex(),
        "event_id": event,
        "id_source": "client",
        "source": source,
        "dialect": "native",
        "event_type": "track",
        "event_name": "Order Completed",
        "event_ts": at,
        "received_ts": at + timedelta(seconds=1),
        "ts_quality": "exact",
        "user_key": f"u:{user}" if user else f"a:{more.get('anonymous_id', 'anon')}",
        "identity_status": "anonymous",
        "revenue": Decimal("9.9900"),
        "currency": "EUR",
        "properties": '{"b":1,  "a":[1.50,null]}',
        "schema_version": 1,
        "rules_version": 1,
        "src_partition": 0,
        "src_offset": offset,
    }
    return {**row, **more}


def encode_rows(rows: Sequence[dict[str, Any]], file_id: int) -> bytes:
    """The rows as a Parquet file."""
    table = pa.Table.from_pylist(
        [{**row, "file_id": file_id} for row in rows], schema=arrow_schema(CleanEvent, "file_id")
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def staged_file(
    rows: Sequence[dict[str, Any]],
    *,
    start: int,
    end: int | None = None,
    partition: int = 0,
    nonce: str = "n",
) -> CheckedFile:
    """A checked file of ``rows`` whose manifest starts at ``start``."""
    end = start + 10 if end is None else end
    key = f"staged/events/date=2026-11-20/hour=00/p={partition:02d}/{start:020d}-{end:020d}-{nonce}.parquet"
    empty = File(key=key, rows=len(rows), bytes=0, sha256="")
    received = [round(row["received_ts"].timestamp() * 1_000_000) for row in rows]
    entry = ManifestFile.of(
        empty,
        partition=partition,
        chain_start=start,
        chain_end=end,
        schema_version=1,
        min_received_us=min(received),
        max_received_us=max(received),
    )
    content = encode_rows(rows, entry.file_id)
    file = File(key=key, rows=len(rows), bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return check_file(replace(entry, file=file), content)


def manifest_of(files: Sequence[CheckedFile], *, cluster_id: str = "c", created_ms: int = 0) -> Manifest:
    """The manifest that names ``files`` of one cut."""
    first = files[0].entry
    return Manifest(
        kind="events",
        cluster_id=cluster_id,
        topic_id="t",
        topic="events.clean",
        partition=first.partition,
        start=first.chain_start,
        end=first.chain_end,
        rows=sum(file.rows for file in files),
        files=tuple(file.entry.file for file in files),
        min_received_ts=first.min_received_us,
        max_received_ts=first.max_received_us,
        schema_version=first.schema_version,
        writer="test",
        created_ms=created_ms,
    )
