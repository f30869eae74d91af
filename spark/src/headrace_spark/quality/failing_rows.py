"""Which rows a failed expectation is about: the filter of each expectation, and a bounded sample of what it finds.

A sample is deterministic (lowest positions first) and shows no column that names a person.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.events import RULES_VERSION, SCHEMA_VERSION
from headrace_spark.quality.catalogue import ExpectationName, null_rate
from headrace_spark.quality.checks import Check
from headrace_spark.quality.measuring import (
    REQUIRED,
    any_of,
    applies,
    content,
    currency_of_revenue,
    is_after_receipt,
    is_outside,
    user_key_disagrees,
)
from headrace_spark.quality.metrics import DELAYS_S, KNOWN_VALUES, NULL_RULES, NullRule
from headrace_spark.quality.report import SampleRow

__all__ = ["SAMPLE_ROWS", "failing_rows"]

SAMPLE_ROWS = 20
"""Rows that a sample holds at most."""

_ALWAYS = ("dedup_id", "source", "event_ts", "src_partition", "src_offset")
_GROUPS = 10
"""Repeated ids, or contents, that a sample looks at."""

_Filter = Callable[[DataFrame, Check, date], DataFrame]
_Shown = tuple[_Filter, tuple[str, ...]]


def failing_rows(rows: DataFrame, day: date, check: Check, limit: int = SAMPLE_ROWS) -> list[SampleRow]:
    """Some rows that a failed check is about; none where no row can show it, as with rows that are missing."""
    found = _FILTERS.get(check.name)
    if found is None:
        return []
    of, columns = found
    marked = rows.withColumn("null_columns", _null_columns())
    shown = of(_of_source(marked, check), check, day).select(*(_text(name) for name in (*_ALWAYS, *columns)))
    taken = shown.orderBy(
        F.col("src_partition").cast("bigint"), F.col("src_offset").cast("bigint"), "dedup_id"
    ).limit(limit)
    return [row.asDict() for row in taken.collect()]


def _of_source(rows: DataFrame, check: Check) -> DataFrame:
    return rows if check.source is None else rows.where(F.coalesce("source", F.lit("")) == check.source)


def _text(name: str) -> Column:
    """A column as JSON can hold it: positions as numbers, all else as text."""
    return F.col(name) if name.startswith("src_") else F.col(name).cast("string").alias(name)


def _null_columns() -> Column:
    """Names of the required columns that a row lacks."""
    return F.concat_ws(",", *(F.when(F.col(name).isNull(), name) for name in REQUIRED))


def _where(condition: Callable[[Check], Column], *columns: str) -> _Shown:
    return lambda rows, check, _: rows.where(condition(check)), columns


def _is_null(column: str, rule: NullRule) -> _Shown:
    return _where(lambda _: applies(rule) & F.col(column).isNull(), "event_type")


def _outside(rows: DataFrame, check: Check, day: date) -> DataFrame:
    return rows.where(is_outside(F.lit(day), "event_date" in rows.columns))


def _repeated(key: Callable[[], Column]) -> _Filter:
    """Rows that share a key with another: all of some keys."""

    def of(rows: DataFrame, check: Check, day: date) -> DataFrame:
        keyed = rows.withColumn("repeated", key())
        twice = keyed.groupBy("repeated").count().where(F.col("count") > 1)
        return keyed.join(F.broadcast(twice.orderBy("repeated").limit(_GROUPS)), "repeated")

    return of


def _clock(check: Check) -> Column:
    """The rows of the aspect of clock_shift that the subject names."""
    delay = F.unix_micros("received_ts") - F.unix_micros("event_ts")
    low, high = DELAYS_S[DELAYS_S.index(50_400) - 1], 50_400
    aspect = check.subject.partition(",")[0]
    of: dict[str, Column] = {
        "after receipt": is_after_receipt(),
        "hours late": (delay >= low * 1_000_000) & (delay < high * 1_000_000),
        "no usable time": F.col("ts_quality") == "from_received",
        "no zone": F.col("ts_quality").isin("zone_assumed", "ambiguous_local"),
    }
    return of[aspect]


def _currencies(check: Check) -> Column:
    """Revenue in the currencies that are out of the ordinary, named as the metrics name them: no currency, and what looks like
    none, have names of their own. All revenue where none stands out."""
    has_revenue = F.col("revenue").isNotNull()
    return has_revenue & currency_of_revenue().isin(*check.values) if check.values else has_revenue


_FILTERS: dict[ExpectationName, _Shown] = {
    "known_values": _where(
        lambda _: any_of(~F.col(name).isin(*values) for name, values in KNOWN_VALUES.items()), *KNOWN_VALUES
    ),
    "known_versions": _where(
        lambda _: (F.col("schema_version") > SCHEMA_VERSION) | (F.col("rules_version") > RULES_VERSION),
        "schema_version",
        "rules_version",
    ),
    "required_columns": _where(lambda _: F.col("null_columns") != "", "null_columns"),
    "unique_dedup_id": (_repeated(lambda: F.col("dedup_id")), ()),
    "repeated_content_rate": (_repeated(content), ("event_type", "event_name")),
    "user_key_agrees": _where(lambda _: user_key_disagrees(), "event_type", "identity_status"),
    "rows_inside_the_day": (_outside, ("ts_quality",)),
    "clock_shift": _where(_clock, "received_ts", "ts_quality", "original_timestamp"),
    "skew_corrected_rate": _where(
        lambda _: F.col("ts_quality") == "skew_corrected", "received_ts", "original_timestamp"
    ),
    **{null_rate(column): _is_null(column, rule) for column, rule in NULL_RULES.items()},
    "unresolved_rate": _where(lambda _: F.col("identity_status") == "unresolved", "event_type"),
    "currency_mix": _where(_currencies, "currency", "revenue"),
    "revenue_scale": _where(_currencies, "currency", "revenue"),
}
"""Expectations that rows can show, with the columns that are shown beside position and id."""
