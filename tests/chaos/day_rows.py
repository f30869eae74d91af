"""Rows of days in the simulated lake: plain dictionaries of column values, kept as MessagePack."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.copies import Copy
from headrace_core.errors import BadData
from headrace_core.lake import LakeFile, StagedFile
from headrace_spark.ports import Suppressions

__all__ = [
    "Values",
    "content_hash",
    "copy_of",
    "day_of",
    "decode_rows",
    "encode_rows",
    "is_of",
    "lake_file",
    "position_of",
    "staged_rows",
]

Values = dict[str, Any]
"""A row by column name."""

encode_rows = msgspec.msgpack.Encoder().encode
decode_rows = msgspec.msgpack.Decoder(list[dict[str, Any]]).decode


def day_of(values: Values) -> str:
    """The event date (YYYY-MM-DD)."""
    return str(values["event_ts"].date())


def position_of(values: Values) -> tuple[int, int]:
    """The source position."""
    return values["src_partition"], values["src_offset"]


def copy_of(values: Values) -> Copy:
    """What decides about the row (rule L2)."""
    return Copy(values["dedup_id"], values["event_ts"].date(), position_of(values), values["file_id"])


def is_of(values: Values, subjects: Suppressions) -> bool:
    """Whether the row is of one of the subjects."""
    return (
        values["user_id"] in subjects.users
        or values["anonymous_id"] in subjects.anonymous
        or values["customer_id"] in subjects.customers
    )


def staged_rows(file: StagedFile, data: bytes | None) -> list[Values]:
    """The rows of a staged file; BadData where it is not the one that the plan names."""
    if data is None or hashlib.sha256(data).hexdigest() != file.sha256:
        raise BadData("A staged file is torn.", why=file.key, fix="repair it", code="file_torn")
    rows: list[Values] = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).to_pylist()
    return rows


def lake_file(key: str, data: bytes, rows: int) -> LakeFile:
    """The entry of a generation for a file of the lake."""
    return LakeFile(key=key, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def content_hash(rows: Iterable[Values]) -> str:
    """What two sets of rows have in common exactly if they are equal."""
    lines = sorted(encode_rows(sorted(row.items())) for row in rows)
    return hashlib.sha256(b"".join(lines)).hexdigest()
