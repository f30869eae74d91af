"""Measures days on Spark: one grouped aggregate for everything but distinctness, which is a pass over two narrow columns.

Groups are of columns with few values, so a day comes back as some thousand rows that are added up here. No UDFs: nothing
leaves the JVM but counts. The rows are read twice: give files or a persisted frame, not a long computation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import reduce

from msgspec.structs import replace
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.events import CleanEvent, columns_of
from headrace_core.times import FUTURE_TOLERANCE_US
from headrace_spark.quality.metrics import (
    ABSENT,
    DELAYS_S,
    KNOWN_VALUES,
    NULL_RULES,
    UNKNOWN,
    DayMetrics,
    GivenCounts,
    NullRule,
)
from headrace_spark.quality.totals import Totals

__all__ = [
    "REQUIRED",
    "any_of",
    "applies",
    "columns_of_frame",
    "content",
    "currency_of_revenue",
    "distinct",
    "groups",
    "is_after_receipt",
    "is_outside",
    "measure_day",
    "measure_days",
    "user_key_disagrees",
]

REQUIRED = tuple(column.name for column in columns_of(CleanEvent) if not column.nullable)
"""Columns that are never null."""

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_CURRENCY = "^[A-Z]{3}$"
_COUNTED = tuple(name for name, rule in NULL_RULES.items() if rule.filled is None)


def measure_day(rows: DataFrame, day: date, given: GivenCounts | None = None) -> DayMetrics:
    """The metrics of a day's rows; what is of another day is counted as outside. Blocks while Spark works."""
    measured = _measure(rows, F.lit(str(day))).get(str(day))
    counted = measured or Totals(str(day)).metrics(columns_of_frame(rows))
    return counted if given is None else replace(counted, given=given)


def measure_days(rows: DataFrame) -> dict[str, DayMetrics]:
    """The metrics of every event_date in ``rows``, by date: history for an installation that has none."""
    return _measure(rows, F.col("event_date").cast("string"))


def _measure(rows: DataFrame, day: Column) -> dict[str, DayMetrics]:
    found: dict[str, Totals] = {}
    for row in groups(rows, day).collect():
        found.setdefault(row["day"], Totals(row["day"])).add(row.asDict())
    for row in distinct(rows, day).collect():
        found[row["day"]].distinct(row["ids"], row["contents"])
    columns = columns_of_frame(rows)
    return {name: totals.metrics(columns) for name, totals in sorted(found.items())}


def columns_of_frame(rows: DataFrame) -> dict[str, str]:
    """Name and type of the columns of a frame."""
    return {field.name: field.dataType.simpleString() for field in rows.schema.fields}


def groups(rows: DataFrame, day: Column) -> DataFrame:
    """The one aggregate: a row per group of columns with few values. Whatever is rarely true is part of the key, not a sum:
    fifty conditional sums make code that the JVM does not compile."""
    outside = is_outside(F.to_date("day"), "event_date" in rows.columns)
    keys = {
        "day": F.col("day"),
        "source": F.col("source"),
        "hour": F.call_function("div", F.pmod(F.unix_micros("event_ts"), F.lit(_DAY_US)), F.lit(_HOUR_US)),
        **{name: _known(name) for name in KNOWN_VALUES},
        "currency": currency_of_revenue(),
        "delay": _delay(),
        "outside": outside,
        "required_null": any_of(F.col(name).isNull() for name in REQUIRED),
        "user_key_disagrees": user_key_disagrees(),
        "schema_version": F.col("schema_version"),
        "rules_version": F.col("rules_version"),
    }
    named = [column.alias(name) for name, column in keys.items()]
    return rows.withColumn("day", day).groupBy(*named).agg(*_sums())


def _sums() -> list[Column]:
    amount = F.abs("revenue").cast("double")
    return [
        F.count("*").alias("rows"),
        *(F.count(name).alias(f"filled_{name}") for name in _COUNTED),
        F.sum("revenue").alias("revenue_sum"),
        F.count(F.when(amount > 0, 1)).alias("amounts"),
        F.sum(F.when(amount > 0, F.log10(amount))).alias("log10_sum"),
    ]


def _delay() -> Column:
    """The bucket of received_ts − event_ts, as an index into DELAYS_S; its length for the last one."""
    delay = F.unix_micros("received_ts") - F.unix_micros("event_ts")
    first, *others = [F.when(delay < bound * 1_000_000, index) for index, bound in enumerate(DELAYS_S)]
    return F.coalesce(first, *others, F.lit(len(DELAYS_S)))


def any_of(conditions: Iterable[Column]) -> Column:
    """Whether one of the conditions holds."""
    return reduce(lambda left, right: left | right, conditions)


def applies(rule: NullRule) -> Column:
    """The rows on which a null means something."""
    if rule.filled is not None:
        return F.col(rule.filled).isNotNull()
    return F.col("event_type").isin(*rule.event_types) if rule.event_types else F.lit(True)


def is_after_receipt() -> Column:
    """Rows whose event is later than its receipt, beyond what normalisation tolerates."""
    return F.unix_micros("received_ts") - F.unix_micros("event_ts") < -FUTURE_TOLERANCE_US


def is_outside(day: Column, with_event_date: bool) -> Column:
    """Rows whose event time is not on the UTC day, or whose event_date says another one."""
    start = F.unix_date(day).cast("bigint") * _DAY_US
    us = F.unix_micros("event_ts")
    outside = (us < start) | (us >= start + _DAY_US)
    return outside | (F.col("event_date") != day) if with_event_date else outside


def user_key_disagrees() -> Column:
    """Rows whose user_key is not the one that user_id, anonymous_id and event_id make."""
    expected = F.coalesce(
        F.concat(F.lit("u:"), F.col("user_id")),
        F.concat(F.lit("a:"), F.col("anonymous_id")),
        F.concat(F.lit("e:"), F.col("event_id")),
    )
    return ~F.col("user_key").eqNullSafe(expected)


def _known(name: str) -> Column:
    return F.when(F.col(name).isin(*KNOWN_VALUES[name]), F.col(name)).otherwise(UNKNOWN)


def currency_of_revenue() -> Column:
    """The currency of revenue: a code, UNKNOWN for what looks like none, ABSENT for null and for rows without revenue."""
    code = F.col("currency")
    shown = F.when(code.isNull(), ABSENT).when(code.rlike(_CURRENCY), code).otherwise(UNKNOWN)
    return F.when(F.col("revenue").isNull(), ABSENT).otherwise(shown)


def content() -> Column:
    """What happened to whom and when, as 64 bits: equal for copies that were sent under new ids."""
    return F.xxhash64(
        F.coalesce(F.col("source"), F.lit("")),
        F.coalesce(F.col("event_type"), F.lit("")),
        F.coalesce(F.col("event_name"), F.lit("")),
        F.coalesce(F.col("user_id"), F.lit("")),
        F.coalesce(F.col("anonymous_id"), F.lit("")),
        F.col("event_ts"),
        F.coalesce(F.col("revenue").cast("string"), F.lit("")),
        F.coalesce(F.col("properties"), F.lit("")),
    )


def distinct(rows: DataFrame, day: Column) -> DataFrame:
    """Distinct ids, exactly, and distinct contents by their hash, per day."""
    narrow = rows.select(day.alias("day"), "dedup_id", content().alias("content"))
    return narrow.groupBy("day").agg(
        F.count_distinct("dedup_id").alias("ids"), F.count_distinct("content").alias("contents")
    )
