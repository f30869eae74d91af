"""The archives: raw records as compressed lines, verdicts as Parquet. Pure; CPU only, so the worker runs it in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from headrace_core.block import Verdict
from headrace_core.events import columns_of
from headrace_core.manifest import File, content_of_rows, content_sum
from headrace_core.raw_lines import RAW_LINES_VERSION
from headrace_core.reasons import Reason, reason_of
from headrace_core.verdict_rows import VERDICT_ROWS_VERSION, VerdictRow
from headrace_loader.intakes import VerdictTuple
from headrace_loader.parquet import arrow_schema, encode_parquet, time_column
from headrace_loader.stage_messages import Contents, Cut

__all__ = ["build_raw", "build_verdicts", "verdict_schema"]

_RAW_LEVEL = 3


def build_raw(cut: Cut[bytes]) -> Contents:
    """Objects and facts of a cut of raw lines."""
    text = b"\n".join(cut.rows) + b"\n"
    data = zstandard.ZstdCompressor(level=_RAW_LEVEL).compress(text)
    return Contents(
        objects=((cut.key, data),),
        file=_file(cut.key, len(cut.rows), data),
        schema_version=RAW_LINES_VERSION,
        content=content_sum(()),
        rows_by_event_date={},
    )


def verdict_schema() -> pa.Schema:
    """Schema of archived verdicts."""
    return arrow_schema(VerdictRow)


def build_verdicts(cut: Cut[VerdictTuple]) -> Contents:
    """Objects and facts of a cut of verdicts."""
    ids, offsets, _, _, _, fingerprints, _, _, partitions, _ = zip(*cut.rows, strict=True)
    data = encode_parquet(_verdict_arrays(cut.rows), verdict_schema(), dictionary=_low_cardinality())
    return Contents(
        objects=((cut.key, data),),
        file=_file(cut.key, len(cut.rows), data),
        schema_version=VERDICT_ROWS_VERSION,
        content=content_of_rows(ids, partitions, offsets, fingerprints),
        rows_by_event_date={},
    )


def _verdict_arrays(rows: Sequence[VerdictTuple]) -> list[Any]:
    """Arrays in the order of VerdictRow's columns."""
    ids, offsets, verdicts, reasons, firsts, fingerprints, clocks, rules, partitions, blocks = zip(
        *rows, strict=True
    )
    names = {number: Verdict(number).name.lower() for number in set(verdicts)}
    codes = {number: _reason_code(number) for number in set(reasons)}
    return [
        pa.array(ids, pa.string()),
        pa.array(partitions, pa.int32()),
        pa.array(offsets, pa.int64()),
        pa.array([names[verdict] for verdict in verdicts], pa.string()),
        pa.array([codes[reason] for reason in reasons], pa.string()),
        pa.array([None if first < 0 else first for first in firsts], pa.int64()),
        pa.array(np.array(fingerprints, np.uint64).view(np.int64)),
        time_column(np.array(clocks, np.int64) * 1000),
        pa.array(rules, pa.int16()),
        pa.array(blocks, pa.int64()),
    ]


def _reason_code(number: int) -> str | None:
    """The code of a reason; a number that a newer version wrote is kept as such."""
    if number == Reason.NONE.number:
        return None
    try:
        return reason_of(number).code
    except KeyError:
        return f"reason-{number}"


def _low_cardinality() -> list[str]:
    return [column.name for column in columns_of(VerdictRow) if column.low_cardinality]


def _file(key: str, rows: int, data: bytes) -> File:
    return File(key=key, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
