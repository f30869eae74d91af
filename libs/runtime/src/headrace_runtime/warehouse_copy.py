"""Arrow batches as the binary COPY stream of a warehouse table. Pure; CPU only.

Text goes as text and JSON byte for byte; a uuid is read from 32 hexadecimal digits. A nullable column that a batch
lacks is null: files of an older schema have no newer columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pgpq
import pyarrow as pa

from headrace_core.errors import BadData
from headrace_core.tables import Table, TableKind

__all__ = ["TIMESTAMP", "copy_stream", "wire_batch", "wire_schema"]

TIMESTAMP = pa.timestamp("us", tz="UTC")

_ARROW: dict[TableKind, pa.DataType] = {
    "text": pa.string(),
    "json": pa.string(),
    "timestamp": TIMESTAMP,
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "decimal": pa.decimal128(18, 4),
    "sum": pa.decimal128(38, 4),
    "date": pa.date32(),
    "boolean": pa.bool_(),
    # Bytes on the wire are the same for bytea and uuid, and the encoder knows only the former.
    "uuid": pa.binary(16),
}


def wire_schema(table: Table) -> pa.Schema:
    """The columns of ``table`` in their order, as `copy_stream` takes them."""
    fields = [pa.field(each.name, _ARROW[each.kind], nullable=each.nullable) for each in table.columns]
    return pa.schema(fields)


def copy_stream(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """Chunks of the stream, one per batch. Batches have ``schema`` and at least one row each."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    for batch in batches:
        yield encoder.write_batch(batch)
    yield encoder.finish()


def wire_batch(
    batch: pa.RecordBatch, schema: pa.Schema, added: Mapping[str, pa.Array[Any]]
) -> pa.RecordBatch:
    """The rows of ``batch`` with the columns of ``schema``; those in ``added`` are taken from there.

    Raises BadData on a dedup id that is none; pyarrow.ArrowInvalid on a value that its column cannot hold.
    """
    return pa.RecordBatch.from_arrays([_column(batch, added, field) for field in schema], schema=schema)


def _column(batch: pa.RecordBatch, added: Mapping[str, pa.Array[Any]], field: pa.Field[Any]) -> pa.Array[Any]:
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
