"""Sessions of a day, decided from the day and the days beside it (docs/services/spark.md, Sessions).

A session is of one (source, user_key), and a pause of 30 minutes ends it. Activity without a pause is cut at midnights, so
that no session is longer than 48 hours: one that goes on over a midnight began after a pause on the day before it. Events
that name no user are in no session.
"""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.tables import SESSIONS
from headrace_spark.transforms.rows import DAY_US, as_table, day_of, day_start_us, of_span, table_schema

__all__ = ["PAUSE_US", "SESSION_COLUMNS", "in_sessions", "sessions"]

PAUSE_US = 30 * 60 * 1_000_000

SESSION_COLUMNS = (
    "source",
    "user_key",
    "customer_id",
    "identity_status",
    "event_type",
    "event_name",
    "event_ts",
    "page_path",
    "referrer_medium",
    "utm_source",
    "revenue",
    "src_partition",
    "src_offset",
)
"""What is read of a row."""

_OF = ("source", "user_key")
_IN_ORDER = ("ts_us", "src_partition", "src_offset")
_PAGES = ("page", "screen")


def in_sessions(rows: DataFrame, day: date) -> DataFrame:
    """The events of all sessions that start on a UTC day, some of them on the day after, with their session.

    ``rows`` are the deduplicated events of the day, the day before and the day after, and at least the last 30 minutes of
    the day before that. Result: SESSION_COLUMNS, ``ts_us`` and ``started_us`` in microseconds, ``session_key``, and
    ``paused``, whether the session began after a pause and not by the cut at midnight.
    """
    start = day_start_us(day)
    near = of_span(rows.select(*SESSION_COLUMNS), start - DAY_US - PAUSE_US, start + 2 * DAY_US)
    named = near.where("identity_status <> 'unresolved'").withColumn("ts_us", F.unix_micros("event_ts"))
    marked = _with_starts(named)
    so_far = Window.partitionBy(*_OF).orderBy(*_IN_ORDER).rowsBetween(Window.unboundedPreceding, 0)
    begun = marked.withColumns(
        {
            "started_us": F.last(F.when(F.col("starts"), F.col("ts_us")), ignorenulls=True).over(so_far),
            "paused": F.last(F.when(F.col("starts"), F.col("after_pause")), ignorenulls=True).over(so_far),
        }
    )
    of_the_day = begun.where((F.col("started_us") >= start) & (F.col("started_us") < start + DAY_US))
    return of_the_day.drop("starts", "after_pause").withColumn("session_key", _session_key())


def _with_starts(rows: DataFrame) -> DataFrame:
    """Rows with ``after_pause``, and ``starts``: after a pause, or by the cut at a midnight.

    It is cut where the last event after a pause is neither on this day nor on the day before.
    """
    in_order = Window.partitionBy(*_OF).orderBy(*_IN_ORDER)
    so_far = in_order.rowsBetween(Window.unboundedPreceding, 0)
    before = F.lag("ts_us").over(in_order)
    seen = rows.withColumns(
        {
            "day": day_of(F.col("ts_us")),
            "day_before": day_of(before),
            "after_pause": before.isNull() | (F.col("ts_us") - before >= PAUSE_US),
        }
    )
    paused_on = F.last(F.when(F.col("after_pause"), F.col("day")), ignorenulls=True).over(so_far)
    is_cut = (F.col("day") != F.col("day_before")) & (paused_on < F.col("day") - 1)
    return seen.withColumn("starts", F.col("after_pause") | is_cut).drop("day", "day_before")


def _session_key() -> Column:
    """`headrace_core.keys.session_key` of the row."""
    text = F.concat_ws("\0", "source", "user_key", F.col("started_us").cast("string"))
    return F.lower(F.lpad(F.hex(F.xxhash64(text)), 16, "0"))


def sessions(events: DataFrame, day: date, *, read_until_us: int) -> DataFrame:
    """The table sessions from ``in_sessions`` of the day.

    ``read_until_us``: events before that time have been read; a session that may still go on then is open.
    """
    order = F.struct(*_IN_ORDER)
    grouped = events.groupBy("session_key", *_OF, "started_us", "paused").agg(
        _first("customer_id", order),
        F.max("ts_us").alias("ended_us"),
        F.count("*").alias("events"),
        F.count(F.when(F.col("event_type").isin(*_PAGES), 1)).alias("pages"),
        F.coalesce(F.sum("revenue"), F.lit(0)).alias("revenue"),
        _first("page_path", order).alias("entry_path"),
        F.max_by("page_path", F.when(F.col("page_path").isNotNull(), order)).alias("exit_path"),
        _first("referrer_medium", order),
        _first("utm_source", order),
    )
    next_midnight = F.lit(day_start_us(day + timedelta(days=1)))
    latest_end = F.when(F.col("paused"), next_midnight + DAY_US).otherwise(next_midnight)
    rows = grouped.withColumns(
        {
            "event_date": F.lit(day),
            "started_ts": F.timestamp_micros("started_us"),
            "ended_ts": F.timestamp_micros("ended_us"),
            "is_open": F.least(F.col("ended_us") + PAUSE_US, latest_end) > read_until_us,
        }
    )
    return as_table(rows, table_schema(SESSIONS))


def _first(name: str, order: Column) -> Column:
    """The first value of a session that is there."""
    return F.min_by(name, F.when(F.col(name).isNotNull(), order)).alias(name)
