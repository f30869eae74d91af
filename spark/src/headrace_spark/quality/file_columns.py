"""The columns of a day's event files, from their footers: what Spark may be asked for, before it is asked.

Spark takes the columns of one file for those of all, or those that it is told: a column that a file lacks then ends the job
with an error about a plan, or reads as null. So what the files say of themselves is looked at first.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.lake import LakeFile
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_reader import torn

__all__ = ["common_columns", "read_columns"]

_AT_ONCE = 16
_TAIL_BYTES = 64 << 10
"""Enough for most footers; a longer one takes a second read."""
_END_BYTES = 8
"""Length of the footer, and PAR1."""

_NAMES: dict[pa.DataType, str] = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.date32(): "date",
}


async def read_columns(store: ObjectStore, files: Sequence[LakeFile], *, deadline_s: float) -> dict[str, str]:
    """Name and type, as Spark names it, of the columns that every file has; none where there are no files. ``deadline_s``
    bounds each request. Raises Unavailable, BadData where a file is missing or has no footer."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(file: LakeFile) -> Mapping[str, str]:
        async with turns:
            return await _columns(store, file, deadline_s)

    return common_columns(await asyncio.gather(*map(read, files)))


def common_columns(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The columns that are in all of them; one of several types has them all, which is none that anybody expects."""
    if not found:
        return {}
    names = [name for name in found[0] if all(name in each for each in found)]
    return {name: " or ".join(dict.fromkeys(each[name] for each in found)) for name in names}


async def _columns(store: ObjectStore, file: LakeFile, deadline_s: float) -> dict[str, str]:
    footer = await _footer(store, file, deadline_s)
    try:
        schema = pq.read_schema(io.BytesIO(footer))
    except (pa.ArrowException, OSError) as error:
        raise torn(file, f"its footer cannot be decoded: {error}") from error
    return {field.name: _name(field.type) for field in schema}


async def _footer(store: ObjectStore, file: LakeFile, deadline_s: float) -> bytes:
    """The end of the file from its footer on, or from before it."""
    tail = await _end(store, file, _TAIL_BYTES, deadline_s)
    if len(tail) < _END_BYTES or not tail.endswith(b"PAR1"):
        raise torn(file, f"it does not end as a Parquet file of {file.bytes} bytes")
    needed = int.from_bytes(tail[-_END_BYTES:-4], "little") + _END_BYTES
    if needed > file.bytes:
        raise torn(file, "its footer is longer than the file")
    return tail if needed <= len(tail) else await _end(store, file, needed, deadline_s)


async def _end(store: ObjectStore, file: LakeFile, size_bytes: int, deadline_s: float) -> bytes:
    start = max(0, file.bytes - size_bytes)
    try:
        return await store.get_range(file.key, start, file.bytes, deadline_s=deadline_s)
    except ObjectNotFound as error:
        raise torn(file, "it is missing") from error
    except ValueError as error:
        raise torn(file, f"it ends before byte {start}") from error


def _name(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return _name(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return "timestamp"
    if pa.types.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return _NAMES.get(kind, str(kind))
