"""A staged file as the binary COPY streams of PostgreSQL: its deciding columns for the stage table, all for events.

What the warehouse adds (event date, lateness, load time) is computed here for whole batches, so that the server copies
and does not calculate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.errors import BadData
from headrace_core.events import LATE_AFTER_US
from headrace_core.tables import EVENTS, Table
from headrace_runtime.warehouse_copy import TIMESTAMP, copy_stream, wire_batch, wire_schema

__all__ = ["events_stream", "stage_stream"]

_ROWS_PER_CHUNK = 1024
"""About 2 MB of wide rows: larger chunks leave the processor's caches between decoding, encoding and sending."""
_DAY_US = 86_400_000_000
_ADDED = ("event_date", "loaded_ts", "is_late", "row_number")


def stage_stream(files: Iterable[bytes], table: Table) -> Iterator[bytes]:
    """The columns of a stage table, of all rows."""
    return _stream(((content, ()) for content in files), table, loaded_us=0)


def events_stream(files: Iterable[tuple[bytes, Collection[int]]], *, loaded_us: int) -> Iterator[bytes]:
    """All columns of the events table, of each file the rows whose numbers are not in the collection beside it."""
    return _stream(files, EVENTS, loaded_us=loaded_us)


def _stream(
    files: Iterable[tuple[bytes, Collection[int]]], table: Table, *, loaded_us: int
) -> Iterator[bytes]:
    target = wire_schema(table)
    ready = (_ready(content, target, loaded_us, left_out) for content, left_out in files)
    return copy_stream(chain.from_iterable(ready), target)


def _ready(
    content: bytes, target: pa.Schema, loaded_us: int, left_out: Collection[int]
) -> Iterator[pa.RecordBatch]:
    """The file's rows with the target's columns, those left out excepted; no batch is empty."""
    number = 0
    for batch in _batches(content, target.names):
        rows = batch.num_rows
        added = _added(batch, number, loaded_us)
        ready = wire_batch(batch, target, added)
        if left_out:
            ready = ready.filter(_kept(number, rows, left_out))
        number += rows
        if ready.num_rows:
            yield ready


def _batches(content: bytes, names: Collection[str]) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(pa.BufferReader(content))
    stored = set(file.schema_arrow.names)
    # Files of an older schema lack its newer columns, which are then null.
    wanted = sorted(({*names, "event_ts", "received_ts"} - set(_ADDED)) & stored)
    try:
        yield from file.iter_batches(batch_size=_ROWS_PER_CHUNK, columns=wanted, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BadData("A staged file cannot be decoded.", why=str(error), code="file_unreadable") from error


def _added(batch: pa.RecordBatch, number: int, loaded_us: int) -> dict[str, pa.Array[Any]]:
    event_us = np.asarray(batch["event_ts"].cast(pa.int64()))
    received_us = np.asarray(batch["received_ts"].cast(pa.int64()))
    days = event_us // _DAY_US
    return {
        "event_date": pa.array(days.astype(np.int32)).cast(pa.date32()),
        "is_late": pa.array(received_us >= days * _DAY_US + LATE_AFTER_US),
        "loaded_ts": pa.array(np.full(len(days), loaded_us)).cast(TIMESTAMP),
        "row_number": pa.array(np.arange(number, number + len(days), dtype=np.int32)),
    }


def _kept(number: int, rows: int, left_out: Collection[int]) -> pa.BooleanArray:
    keep = np.ones(rows, dtype=bool)
    gone = np.fromiter((row - number for row in left_out if number <= row < number + rows), dtype=np.int64)
    keep[gone] = False
    return pa.array(keep)
