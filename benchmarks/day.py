"""A day of the lake for figures: staged rows of all columns in a file per hour, some of them copies of earlier rows."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.records import CleanRecords
from benchmarks.stand import PARTITIONS
from headrace_core.events import CleanEvent, columns_of
from headrace_loader.parquet import Overflow, arrow_schema, columns_from, encode_parquet

__all__ = ["COPIES", "DAY", "HOURS", "write_day"]

DAY = date(2026, 11, 1)
HOURS = 24
COPIES = 0.15
"""Share of the rows that are copies."""

_DAY_START_US = 1_793_491_200_000_000
_HOUR_US = 3_600_000_000
_LOW_CARDINALITY = [column.name for column in columns_of(CleanEvent) if column.low_cardinality]


def write_day(folder: Path, rows: int, *, seed: int = 7) -> int:
    """Write the day's files as staging does; how many different identities they hold.

    A copy is the whole row of the hour before (in the first hour of the same one) at a source position of its own.
    """
    records, chance = CleanRecords(seed), random.Random(seed)
    before: pa.Table | None = None
    different = 0
    for hour in range(HOURS):
        count = rows // HOURS
        copies = int(count * COPIES)
        fresh = _hour(records, hour, (count - copies) // PARTITIONS)
        source = fresh if before is None else before
        chosen = [chance.randrange(source.num_rows) for _ in range(count - fresh.num_rows)]
        _write(folder, hour, pa.concat_tables([fresh, _elsewhere(source.take(chosen), hour)]))
        different += fresh.num_rows
        before = fresh
    return different


def _hour(records: CleanRecords, hour: int, per_partition: int) -> pa.Table:
    taken = records.take(per_partition)
    events = [event for partition in zip(*taken.values(), strict=True) for event, _ in partition]
    for at, event in enumerate(events):
        event.event_ts = _DAY_START_US + hour * _HOUR_US + at * _HOUR_US // len(events)
        event.received_ts = event.event_ts + 1_000_000
    overflow = Overflow()
    columns = columns_from(events, CleanEvent, overflow)
    assert not overflow.objects  # the measured event is far below the limit
    file_id = pa.array(np.full(len(events), hour + 1))
    return pa.Table.from_arrays([*columns, file_id], schema=arrow_schema(CleanEvent, "file_id"))


def _elsewhere(copies: pa.Table, hour: int) -> pa.Table:
    """Copies as they come in later: behind all offsets of the fresh rows, in the hour's file."""
    places = np.arange(copies.num_rows, dtype=np.int64) + (hour + 1) * 10**9
    for name, values in (("src_offset", places), ("file_id", np.full(copies.num_rows, hour + 1))):
        at = copies.schema.get_field_index(name)
        copies = copies.set_column(at, copies.schema.field(name), pa.array(values))
    return copies


def _write(folder: Path, hour: int, table: pa.Table) -> None:
    table = table.sort_by("event_ts").combine_chunks()
    arrays = [column.combine_chunks() for column in table.columns]
    data = encode_parquet(arrays, table.schema, dictionary=_LOW_CARDINALITY, sorted_by="event_ts")
    (folder / f"{hour:02d}.parquet").write_bytes(data)
