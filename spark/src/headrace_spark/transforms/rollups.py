"""Rollups of a day (rule L4): minutes from rows, hours and days from minutes, and who was there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.tables import EVENTS_DAY, EVENTS_HOUR, EVENTS_MINUTE, ROLLUP_DIMENSIONS, USER_DAY
from headrace_spark.transforms.rows import DAY_US, as_table, start_of, table_schema

__all__ = ["coarser", "minutes", "user_days"]

_MINUTE_US = 60_000_000
_COARSER = {"hour": (3_600_000_000, EVENTS_HOUR), "day": (DAY_US, EVENTS_DAY)}


def minutes(rows: DataFrame) -> DataFrame:
    """The table events_minute of rows of the lake."""
    measures = (
        F.count("*").alias("events"),
        F.count(F.when(F.col("is_late"), 1)).alias("late_events"),
        F.count("revenue").alias("revenue_events"),
        F.coalesce(F.sum("revenue"), F.lit(0)).alias("revenue"),
        F.min("event_ts").alias("min_event_ts"),
        F.max("event_ts").alias("max_event_ts"),
    )
    named = rows.withColumns({name: F.coalesce(name, F.lit("")) for name in ("event_name", "currency")})
    return as_table(_buckets(named, "event_ts", _MINUTE_US, measures), table_schema(EVENTS_MINUTE))


def coarser(buckets: DataFrame, unit: Literal["hour", "day"]) -> DataFrame:
    """The table events_hour or events_day, summed from minutes; days also from hours."""
    width_us, table = _COARSER[unit]
    sums = [F.sum(name).alias(name) for name in ("events", "late_events", "revenue_events", "revenue")]
    bounds = [F.min("min_event_ts").alias("min_event_ts"), F.max("max_event_ts").alias("max_event_ts")]
    return as_table(_buckets(buckets, "bucket_start", width_us, [*sums, *bounds]), table_schema(table))


def _buckets(rows: DataFrame, ts: str, width_us: int, measures: Sequence[Column]) -> DataFrame:
    start = F.timestamp_micros(start_of(F.unix_micros(ts), width_us)).alias("bucket_start")
    return rows.groupBy(start, *ROLLUP_DIMENSIONS).agg(*measures)


def user_days(rows: DataFrame) -> DataFrame:
    """The table user_day of rows of the lake: events that name no user count for nobody."""
    grouped = (
        rows.where("identity_status <> 'unresolved'")
        .groupBy("event_date", "user_key", "source")
        .agg(
            F.count("*").alias("events"),
            F.min("event_ts").alias("min_event_ts"),
            F.max("event_ts").alias("max_event_ts"),
        )
    )
    return as_table(grouped, table_schema(USER_DAY))
