"""Rows for transforms: dictionaries with what a test is about, filled up to rows of the lake, and back from Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from headrace_spark.transforms.rows import lake_schema, staged_schema, with_day

__all__ = ["DAY", "Values", "at", "lake_rows", "rows_of", "staged_rows"]

Values = dict[str, Any]

DAY = date(2026, 3, 29)
"""Clocks change in Europe on this day, and must not matter."""

_DEFAULTS: Values = {
    "dedup_id": "0" * 32,
    "event_id": "e",
    "id_source": "client",
    "source": "shop",
    "dialect": "native",
    "event_type": "track",
    "ts_quality": "exact",
    "user_key": "u:one",
    "identity_status": "resolved",
    "schema_version": 1,
    "rules_version": 1,
    "src_partition": 0,
    "src_offset": 0,
    "file_id": 1,
}


def at(time: str, day: int = 0) -> datetime:
    """A UTC time on DAY or so many days beside it, with seconds and fractions where they are given."""
    hour, minute, *rest = time.split(":")
    second = float(rest[0]) if rest else 0.0
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=day)
    return midnight + timedelta(hours=int(hour), minutes=int(minute), seconds=second)


def _filled(number: int, given: Mapping[str, Any]) -> Values:
    values = {**_DEFAULTS, "src_offset": number, "event_ts": at("12:00"), **given}
    values.setdefault("received_ts", values["event_ts"] + timedelta(seconds=1))
    if values.get("revenue") is not None:
        values["revenue"] = Decimal(values["revenue"])
    return values


def staged_rows(spark: SparkSession, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """Rows of a staged file; source offsets count up."""
    schema = staged_schema()
    filled = [_filled(number, given) for number, given in enumerate(rows)]
    return spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in filled], schema)


def lake_rows(spark: SparkSession, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """The same as rows of the lake."""
    return with_day(staged_rows(spark, rows)).select(*lake_schema().names)


def rows_of(frame: DataFrame, *order: str) -> list[Values]:
    """All rows in an order; times aware of UTC."""
    found = (
        [row.asDict() for row in frame.orderBy(*order).collect()]
        if order
        else [row.asDict() for row in frame.collect()]
    )
    return [{name: _aware(value) for name, value in row.items()} for row in found]


def _aware(value: Any) -> Any:
    # Spark gives times in the zone of this process, without saying which.
    return value.astimezone(UTC) if isinstance(value, datetime) else value
