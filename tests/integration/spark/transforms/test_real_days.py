"""Days of real files: sessions, revenue and rollups are what pandas computes from the files by the definition in the docs.

The rows go the way that events go: through a mapping, normalisation and a staged Parquet file, in which every record is
there twice. The expectation reads the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession
from tests.support.expected_days import (
    days_of,
    expected_buckets,
    expected_finance,
    expected_sessions,
    expected_user_days,
    retail_frame,
    sparkify_frame,
)
from tests.support.expected_rows import online_retail_rows, sparkify_rows
from tests.support.rows import clean_of, request
from tests.support.shared_data import read_compressed, shared_data
from tests.support.spark_rows import rows_of

from headrace_core.dialects import compile_mapping
from headrace_core.events import CleanEvent
from headrace_core.mapping import mapping_from
from headrace_loader.parquet import Overflow, arrow_schema, columns_from, encode_parquet
from headrace_spark.transforms.dedup import DEDUP_COLUMNS, deduplicate
from headrace_spark.transforms.finance import finance_daily
from headrace_spark.transforms.rollups import coarser, minutes, user_days
from headrace_spark.transforms.rows import day_start_us, of_day, staged_schema, with_day
from headrace_spark.transforms.sessions import in_sessions, sessions

_ROOT = Path(__file__).parents[4]
_MOST_DAYS = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Days:
    """Some days of a data set: what pandas read, and the deduplicated rows of the lake."""

    frame: pd.DataFrame
    dates: list[date]
    lake: DataFrame


def _received(number: int, event_ts: datetime) -> datetime:
    """A time after the event's, so that some events of each day are late; whole milliseconds."""
    return event_ts + timedelta(hours=number % 40, seconds=1)


def _clean(
    rows: Sequence[dict[str, Any]], received: Sequence[datetime], mapping: dict[str, Any]
) -> list[CleanEvent]:
    """The clean events of rows that came in at these times."""
    compiled = compile_mapping(mapping_from(mapping))
    events = []
    for number, (row, came) in enumerate(zip(rows, received, strict=True)):
        received_ms = (came - _EPOCH) // timedelta(milliseconds=1)
        meta = request("mapped", source=mapping["source"], mapping=compiled.key, received_at=received_ms)
        event = clean_of(row, meta, {compiled.key: compiled})
        event.src_partition, event.src_offset = number % 4, number
        events.append(event)
    return events


def _staged(folder: Path, spark: SparkSession, events: list[CleanEvent]) -> DataFrame:
    """The events as a staged file, and their copies as a second one."""
    for file_id in (1, 2):
        columns = columns_from(events, CleanEvent, Overflow())
        columns.append(pa.array([file_id] * len(events), pa.int64()))
        data = encode_parquet(columns, arrow_schema(CleanEvent, "file_id"), dictionary=())
        (folder / f"{file_id}.parquet").write_bytes(data)
        for event in events:
            event.src_offset += len(events)
    return spark.read.schema(staged_schema()).parquet(f"file://{folder}")


def _lake(staged: DataFrame, dates: Sequence[date]) -> DataFrame:
    """Every day deduplicated as its daily run does it."""
    rows = with_day(staged)
    days = [deduplicate(of_day(rows, day), rows.select(*DEDUP_COLUMNS).where("false"), day) for day in dates]
    return reduce(DataFrame.unionByName, days)


def _mapping(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((_ROOT / "mappings" / f"{name}.yaml").read_text())
    return document


def _retail() -> tuple[pd.DataFrame, list[dict[str, Any]], dict[str, Any]]:
    """Invoice lines as a producer would send them who adds the amount of the line."""
    path = shared_data("online_retail_uci") / "online-retail-2010-12.csv.zst"
    text = read_compressed(path)
    rows = [row for row, _ in online_retail_rows(path.stem, text)]
    for row in rows:
        row["Amount"] = str(Decimal(row["Quantity"]) * Decimal(row["UnitPrice"]))
    mapping = _mapping("online_retail")
    mapping["fields"]["revenue"] = "Amount"
    mapping["constants"]["currency"] = "GBP"
    return retail_frame(text), rows, mapping


def _sparkify() -> tuple[pd.DataFrame, list[dict[str, Any]], dict[str, Any]]:
    texts = [read_compressed(path) for path in sorted(shared_data("sparkify_log_data").glob("*.zst"))]
    rows = [row for text in texts for row, _ in sparkify_rows(text)]
    return sparkify_frame(texts), rows, _mapping("sparkify")


@pytest.fixture(scope="module", params=[_retail, _sparkify], ids=["online_retail", "sparkify"])
def days(
    request: pytest.FixtureRequest, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[_Days]:
    """The first days of a data set."""
    frame, rows, mapping = request.param()
    frame["received"] = [_received(number, ts) for number, ts in enumerate(frame["ts"])]
    dates = days_of(frame)[:_MOST_DAYS]
    chosen = frame["ts"].dt.date <= dates[-1]
    frame, rows = frame[chosen], [row for row, is_chosen in zip(rows, chosen, strict=True) if is_chosen]
    events = _clean(rows, list(frame["received"]), mapping)
    lake = _lake(_staged(tmp_path_factory.mktemp("staged"), spark, events), dates).persist()
    yield _Days(frame, dates, lake)
    lake.unpersist()


def test_copies_are_gone(days: _Days) -> None:
    assert days.lake.count() == len(days.frame) > 500
    assert days.lake.where("file_id <> 1").count() == 0


def test_rollups_are_what_pandas_counts(days: _Days) -> None:
    of_minutes = minutes(days.lake)
    tables = {"1min": of_minutes, "1h": coarser(of_minutes, "hour"), "1D": coarser(of_minutes, "day")}
    for unit, table in tables.items():
        found = [
            (
                row["bucket_start"],
                row["event_name"],
                row["currency"],
                row["events"],
                row["late_events"],
                row["revenue_events"],
                row["revenue"],
                row["min_event_ts"],
                row["max_event_ts"],
            )
            for row in rows_of(table)
        ]
        assert len(found) == len(set(found))
        assert set(found) == expected_buckets(days.frame, unit), unit


def test_user_days_are_what_pandas_counts(days: _Days) -> None:
    found = [
        (row["event_date"], row["user_key"][2:], row["events"], row["min_event_ts"], row["max_event_ts"])
        for row in rows_of(user_days(days.lake))
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected_user_days(days.frame)


def test_sessions_are_what_pandas_finds(days: _Days) -> None:
    read_until_us = day_start_us(days.dates[-1] + timedelta(days=3))
    tables = [sessions(in_sessions(days.lake, day), day, read_until_us=read_until_us) for day in days.dates]
    found = rows_of(reduce(DataFrame.unionByName, tables))
    assert len({row["session_key"] for row in found}) == len(found)
    assert all(row["event_date"] == row["started_ts"].date() and not row["is_open"] for row in found)
    spans = {
        (row["user_key"][2:], row["started_ts"], row["ended_ts"], row["events"], row["revenue"])
        for row in found
    }
    assert spans == expected_sessions(days.frame)


def test_finance_is_right_to_the_cent(days: _Days) -> None:
    found = [
        (
            row["event_date"],
            row["currency"],
            row["orders"],
            row["gross"],
            row["refunds"],
            row["net"],
            row["events"],
        )
        for row in rows_of(finance_daily(days.lake))
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected_finance(days.frame)
