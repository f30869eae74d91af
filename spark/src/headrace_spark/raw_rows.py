"""Raw records to rows by this version of the code, on Spark's workers: bytes of the archive in, Arrow batches out. Pure.

What cannot be built is a row too: it says why, and has no event.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import msgspec
import pyarrow as pa
import zstandard

from headrace_core.dialects import CompiledMapping, Mappings, compile_mapping, parse
from headrace_core.errors import BadData
from headrace_core.events import CleanEvent, Column, columns_of
from headrace_core.identify import identify
from headrace_core.mapping import MappingSpec, mapping_key
from headrace_core.meta import decode_meta, decode_rerun
from headrace_core.normalise import normalise
from headrace_core.overflow import moved_out, room_of
from headrace_core.parsed import Rejected
from headrace_core.paths import parse_object_key
from headrace_core.raw_lines import RawRecord, decode_raw_line
from headrace_core.reasons import Reason

__all__ = ["MOVED", "REASON", "Rebuilder", "VersionedMappings", "rebuild"]

REASON = "reason"
"""Column: the code of why a record cannot be built; null where it can."""

MOVED = "moved"
"""Column: values that are too long for the row, as pairs of object key and bytes."""

_ROWS_PER_BATCH = 1_024
_COLUMNS = columns_of(CleanEvent)
_MOVED_TYPE = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
_TYPES: dict[str, pa.DataType] = {
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
}


class VersionedMappings(Mapping[str, CompiledMapping]):
    """Mappings by the ``name@version`` that records carry. ``instead`` are versions that read all versions of their names."""

    def __init__(self, specs: Iterable[MappingSpec], instead: Iterable[str] = ()) -> None:
        self._known = {mapping_key(spec): compile_mapping(spec) for spec in specs}
        self._instead = {key.partition("@")[0]: key for key in instead}

    def __getitem__(self, key: str) -> CompiledMapping:
        return self._known[self._instead.get(key.partition("@")[0], key)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def rebuild(record: RawRecord, partition: int, mappings: Mappings) -> CleanEvent:
    """The event of a raw record. Rejected where this code accepts it no more, or reads another identity out of it: a verdict
    is never changed."""
    if record.meta is None or record.index is None:
        raise Rejected(Reason.UNREADABLE_META, "header m or i is missing")
    try:
        meta = decode_meta(record.meta)
        rerun = None if record.rerun is None else decode_rerun(record.rerun)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Rejected(Reason.UNREADABLE_META, str(error)) from None
    parsed = parse(record.value, meta, mappings)
    identity = identify(parsed, meta, record.index, rerun)
    if record.key != identity.dedup_id:
        raise Rejected(Reason.KEY_MISMATCH, f"the event's dedup id is {identity.dedup_id.hex()}")
    return normalise(parsed, identity, meta, rerun, src_partition=partition, src_offset=record.offset)


@dataclass(frozen=True, slots=True)
class Rebuilder:
    """For ``mapInArrow`` over the columns path and content of raw objects. ``digests`` are SHA-256 by key, as the manifests
    say; ``specs`` and ``instead`` as in `VersionedMappings`. Raises BadData where an object is torn."""

    digests: Mapping[str, str]
    specs: Sequence[MappingSpec]
    instead: Sequence[str]
    prefix: str
    """What stands before the key in a path."""

    def batches(self, objects: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches of all columns of an event, then REASON and MOVED."""
        mappings = VersionedMappings(self.specs, self.instead)
        for batch in objects:
            for path, content in zip(batch.column("path"), batch.column("content"), strict=True):
                yield from self._rows_of(path.as_py(), content.as_py(), mappings)

    def _rows_of(self, path: str, content: bytes, mappings: Mappings) -> Iterator[pa.RecordBatch]:
        key = path.partition(self.prefix)[2]
        place = parse_object_key(key)
        if place is None or hashlib.sha256(content).hexdigest() != self.digests.get(key):
            raise _torn(key, "its SHA-256 is not the one in its manifest")
        try:
            with zstandard.ZstdDecompressor().stream_reader(content) as plain:
                records = map(decode_raw_line, map(bytes.rstrip, io.BufferedReader(plain)))
                rows = (_row(record, place.partition, mappings) for record in records)
                while some := list(islice(rows, _ROWS_PER_BATCH)):
                    yield _batch(some)
        except zstandard.ZstdError as error:
            raise _torn(key, str(error)) from error


@dataclass(slots=True)
class _Row:
    values: list[Any]
    reason: str | None
    moved: list[tuple[str, bytes]]


def _row(record: RawRecord, partition: int, mappings: Mappings) -> _Row:
    try:
        event = rebuild(record, partition, mappings)
    except Rejected as rejected:
        at = {"src_partition": partition, "src_offset": record.offset}
        return _Row([at.get(column.name) for column in _COLUMNS], rejected.reason.code, [])
    moved: list[tuple[str, bytes]] = []
    named: list[str] = []
    values = [
        _fitting(column, value, moved, named)
        for column, value in zip(_COLUMNS, msgspec.structs.astuple(event), strict=True)
    ]
    if named:
        values[_OVERFLOW] = msgspec.json.encode(named).decode()
    return _Row(values, None, moved)


_OVERFLOW = next(at for at, column in enumerate(_COLUMNS) if column.name == "overflow")


def _fitting(column: Column, value: Any, moved: list[tuple[str, bytes]], named: list[str]) -> Any:
    """The value as its column has it. One that is too long moves out, as in staging."""
    if value is None or column.kind not in ("text", "json"):
        return value
    text = value if isinstance(value, str) else bytes(value).decode()
    room = room_of(column)
    if len(text) * 4 <= room or len(encoded := text.encode()) <= room:
        return text
    key, reference = moved_out(encoded)
    moved.append((key, encoded))
    named.append(column.name)
    return reference


def _batch(rows: Sequence[_Row]) -> pa.RecordBatch:
    width = len(_COLUMNS)
    values = list(chain.from_iterable(row.values for row in rows))
    arrays = [_array(column, values[at::width]) for at, column in enumerate(_COLUMNS)]
    arrays.append(pa.array([row.reason for row in rows], pa.string()))
    moved = [[{"key": key, "value": value} for key, value in row.moved] for row in rows]
    arrays.append(pa.array(moved, _MOVED_TYPE))
    names = [*(column.name for column in _COLUMNS), REASON, MOVED]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _array(column: Column, values: Sequence[Any]) -> pa.Array[Any]:
    if column.kind == "timestamp":
        return pa.array(values, pa.int64()).cast(pa.timestamp("us", "UTC"))
    if column.kind == "decimal":
        return pa.array(values, pa.string()).cast(pa.decimal128(18, 4))
    return pa.array(values, _TYPES.get(column.kind, pa.string()))


def _torn(key: str, why: str) -> BadData:
    return BadData(
        "An object of the raw archive is not the one that its manifest names.",
        why=f"{key}: {why}.",
        fix="Restore the object from its bucket version and run the job again; no day changes until then.",
        code="raw_object_torn",
    )
