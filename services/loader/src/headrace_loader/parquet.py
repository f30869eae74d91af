"""Parquet as Headrace writes it: the schema rendered from a struct's columns, columns from decoded structs, the file.

Rows are turned into columns by one transposition, and no per-row Python touches a value. Text that is too long for its
column is moved out: the caller gets it as overflow objects, and a reference stands in its place. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.events import Column, columns_of
from headrace_core.overflow import moved_out, room_of

__all__ = ["Overflow", "arrow_schema", "columns_from", "encode_parquet", "time_column"]

_ROW_GROUP_ROWS = 128 * 1024
_TYPES: dict[str, Callable[[], pa.DataType]] = {
    "uuid": pa.string,
    "text": pa.string,
    "json": pa.string,
    "timestamp": lambda: pa.timestamp("us", "UTC"),
    "smallint": pa.int16,
    "integer": pa.int32,
    "bigint": pa.int64,
    "decimal": lambda: pa.decimal128(18, 4),
    "date": pa.date32,
    "boolean": pa.bool_,
}


@cache
def arrow_schema(struct: type[msgspec.Struct], *constants: str) -> pa.Schema:
    """Schema of a struct's columns, then of ``constants``: bigint columns with one value in a whole file."""
    fields = [
        pa.field(column.name, _TYPES[column.kind](), nullable=column.nullable)
        for column in columns_of(struct)
    ]
    return pa.schema(fields + [pa.field(name, pa.int64(), nullable=False) for name in constants])


@dataclass(slots=True)
class Overflow:
    """Values that were moved out: the objects by key, and by row the names of its columns, in column order."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fields: dict[int, list[str]] = field(default_factory=dict)

    def move(self, row: int, name: str, value: bytes) -> str:
        """Take a value out; the reference that stands in its place."""
        key, reference = moved_out(value)
        self.objects[key] = value
        self.fields.setdefault(row, []).append(name)
        return reference


def columns_from(
    rows: Sequence[msgspec.Struct], struct: type[msgspec.Struct], overflow: Overflow
) -> list[Any]:
    """Arrow arrays of all columns of at least one row, in the struct's order. What was moved out is listed in the column
    `overflow`. Raises pyarrow.ArrowInvalid on a value that its column cannot hold."""
    columns = columns_of(struct)
    width = len(columns)
    # Every width-th value from one flat list: half the cost of zip, and no tuple outlives its row.
    values = list(chain.from_iterable(map(msgspec.structs.astuple, rows)))
    arrays = [_array(column, values[at::width], overflow) for at, column in enumerate(columns)]
    if overflow.fields:
        at = next(at for at, column in enumerate(columns) if column.name == "overflow")
        named = enumerate(values[at::width])
        arrays[at] = _json_array(
            [[*(names or ()), *overflow.fields.get(row, ())] or None for row, names in named]
        )
    return arrays


def time_column(microseconds: npt.NDArray[np.int64]) -> Any:
    """UTC timestamps without nulls."""
    return pa.array(microseconds).view(pa.timestamp("us", "UTC"))


def encode_parquet(
    arrays: Sequence[Any], schema: pa.Schema, *, dictionary: Sequence[str], sorted_by: str | None = None
) -> bytes:
    """The file: zstd-1, row groups of 128k rows, dictionaries on the columns named. The schema of Arrow is not stored, so
    every reader sees the plain types."""
    sink = pa.BufferOutputStream()
    sorting = [] if sorted_by is None else [pq.SortingColumn(schema.get_field_index(sorted_by))]
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=schema),
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=list(dictionary),  # type: ignore[arg-type]  # the stubs know the boolean alone
        row_group_size=_ROW_GROUP_ROWS,
        sorting_columns=sorting or None,
        store_schema=False,
    )
    return bytes(sink.getvalue())


def _array(column: Column, values: list[Any], overflow: Overflow) -> Any:
    match column.kind:
        case "json":
            array = _json_array(values)
        case "text" | "uuid":
            array = pa.array(values, pa.string())
        case "decimal":
            return pa.array(values, pa.string()).cast(pa.decimal128(18, 4))
        case "timestamp" if not column.nullable:
            return time_column(np.array(values, np.int64))
        case kind:
            return pa.array(values, _TYPES[kind]())
    limit = room_of(column)
    return _moved_out(array, column.name, limit, overflow) if _longest(array) > limit else array


def _json_array(values: list[Any]) -> Any:
    """Text from JSON kept raw, its bytes as they are; null from None; other values are encoded."""
    raws, validity = values, None
    if set(map(type, values)) != {msgspec.Raw}:
        validity = pa.array([value is not None for value in values]).buffers()[1]
        raws = [_json_bytes(value) for value in values]
    offsets = np.zeros(len(raws) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, raws), np.int32, len(raws)), out=offsets[1:])
    buffers = [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(raws))]
    return pa.Array.from_buffers(pa.string(), len(raws), buffers)


def _json_bytes(value: Any) -> Any:
    if value is None:
        return b""
    return value if isinstance(value, msgspec.Raw) else msgspec.json.encode(value)


def _longest(array: Any) -> int:
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1)
    return int(np.diff(offsets).max())


def _moved_out(array: Any, name: str, limit: int, overflow: Overflow) -> Any:
    values: list[str | None] = array.to_pylist()
    for row, value in enumerate(values):
        if value is not None and len(value) * 4 > limit and len(encoded := value.encode()) > limit:
            values[row] = overflow.move(row, name, encoded)
    return pa.array(values, pa.string())
