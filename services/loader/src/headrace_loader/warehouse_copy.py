"""A staged file as the binary COPY streams of PostgreSQL: its deciding columns for the stage table, all for events.

Text goes as text and JSON byte for byte. What the warehouse adds (event date, lateness, load time) is computed here for
whole batches, so that the server copies and does not calculate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pgpq
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.errors import BadData
from headrace_core.tables import EVENTS, Table, TableKind

__all__ = ["events_stream", "stage_stream"]

_ROWS_PER_CHUNK = 1024
"""About 2 MB of wide rows: larger chunks leave the processor's caches between decoding, encoding and sending."""
_DAY_US = 86_400_000_000
_LATE_US = 30 * 3_600_000_000
_TIMESTAMP = pa.timestamp("us", tz="UTC")

_ARROW: dict[TableKind, pa.DataType] = {
    "text": pa.string(),
    "json": pa.string(),
    "timestamp": _TIMESTAMP,
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "decimal": pa.decimal128(18, 4),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    # Bytes on the wire are the same for bytea and uuid, and the encoder knows only the former.
    "uuid": pa.binary(16),
}
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
    target = pa.schema([(column.name, _ARROW[column.kind]) for column in table.columns])
    encoder = pgpq.ArrowToPostgresBinaryEncoder(target)
    yield encoder.write_header()
    for content, left_out in files:
        for batch in _ready(content, target, loaded_us, left_out):
            yield encoder.write_batch(batch)
    yield encoder.finish()


def _ready(
    content: bytes, target: pa.Schema, loaded_us: int, left_out: Collection[int]
) -> Iterator[pa.RecordBatch]:
    """The file's rows with the target's columns, those left out excepted; no batch is empty."""
    number = 0
    for batch in _batches(content, target.names):
        rows = batch.num_rows
        added = _added(batch, number, loaded_us)
        ready = pa.RecordBatch.from_arrays([_column(batch, added, field) for field in target], schema=target)
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
        "is_late": pa.array(received_us >= days * _DAY_US + _LATE_US),
        "loaded_ts": pa.array(np.full(len(days), loaded_us)).cast(_TIMESTAMP),
        "row_number": pa.array(np.arange(number, number + len(days), dtype=np.int32)),
    }


def _column(batch: pa.RecordBatch, added: dict[str, pa.Array[Any]], field: pa.Field[Any]) -> pa.Array[Any]:
    if field.name in added:
        return added[field.name]
    if field.name not in batch.schema.names:
        missing: pa.Array[Any] = pa.nulls(batch.num_rows, field.type)
        return missing
    if field.type == pa.binary(16):
        return _uuids(batch[field.name])
    column: pa.Array[Any] = batch[field.name]
    cast: pa.Array[Any] = column if column.type == field.type else column.cast(field.type)
    return cast


def _uuids(hexadecimal: pa.Array[Any]) -> pa.Array[Any]:
    """16 bytes from 32 hexadecimal digits, for all rows at once."""
    if hexadecimal.null_count:
        raise BadData("A dedup id is missing.", code="dedup_id_malformed")
    ends = np.frombuffer(memoryview(_buffer(hexadecimal, 1)), dtype=np.int32)[hexadecimal.offset :][
        : len(hexadecimal) + 1
    ]
    if not (np.diff(ends) == 32).all():
        raise BadData("A dedup id is not 32 hexadecimal digits.", code="dedup_id_malformed")
    digits = bytes(memoryview(_buffer(hexadecimal, 2))[ends[0] : ends[-1]])
    try:
        raw = bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise BadData("A dedup id is not hexadecimal.", why=str(error), code="dedup_id_malformed") from error
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(hexadecimal), [None, pa.py_buffer(raw)])


def _buffer(array: pa.Array[Any], number: int) -> pa.Buffer:
    buffer = array.buffers()[number]
    assert buffer is not None  # only the validity buffer of an array may be absent
    return buffer


def _kept(number: int, rows: int, left_out: Collection[int]) -> pa.BooleanArray:
    keep = np.ones(rows, dtype=bool)
    gone = np.fromiter((row - number for row in left_out if number <= row < number + rows), dtype=np.int64)
    keep[gone] = False
    return pa.array(keep)
