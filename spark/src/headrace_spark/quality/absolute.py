"""What holds on every day, whatever the days before were: checks of a day's metrics alone. Pure."""

from __future__ import annotations

from headrace_core.events import RULES_VERSION, SCHEMA_VERSION, CleanEvent, columns_of
from headrace_spark.quality.catalogue import ExpectationName
from headrace_spark.quality.checks import Check
from headrace_spark.quality.metrics import DayMetrics

__all__ = ["absolute_checks", "wrong_columns"]

_TYPES = {
    "uuid": "string",
    "text": "string",
    "json": "string",
    "timestamp": "timestamp",
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "decimal": "decimal(18,4)",
}
"""Spark's names of the types of columns of a clean event."""


def absolute_checks(metrics: DayMetrics) -> list[Check]:
    """Checks that need no history."""
    late = tuple(name for name, source in metrics.sources.items() if source.delays[0])
    checks = [
        _none("schema_columns", len(wrong := wrong_columns(metrics)), wrong),
        _none("known_values", sum(metrics.unknown.values()), tuple(metrics.unknown)),
        _none("known_versions", newer_rows(metrics)),
        _none("required_columns", metrics.required_nulls),
        _none("unique_dedup_id", metrics.rows - metrics.distinct_ids),
        _none("user_key_agrees", metrics.user_key_disagrees),
        _none("rows_inside_the_day", metrics.outside_the_day),
        _none("clock_shift", metrics.after_receipt, late, subject="after receipt"),
    ]
    unexplained = _unexplained(metrics)
    return checks if unexplained is None else [*checks, _none("counts_reconcile", unexplained)]


def _none(name: ExpectationName, measured: int, values: tuple[str, ...] = (), *, subject: str = "") -> Check:
    return Check(
        name=name,
        subject=subject,
        measured=measured,
        at_least=0,
        at_most=0,
        because="none is allowed",
        values=values,
    )


def wrong_columns(metrics: DayMetrics) -> tuple[str, ...]:
    """Columns of a clean event that are not there, or of another type."""
    expected = {column.name: _TYPES[column.kind] for column in columns_of(CleanEvent)}
    return tuple(name for name, kind in expected.items() if metrics.columns.get(name) != kind)


def newer_rows(metrics: DayMetrics) -> int:
    """Rows of a schema, or of rules, that this code does not know; where both are new, as many as are surely so."""
    schema = sum(rows for version, rows in metrics.schema_versions.items() if int(version) > SCHEMA_VERSION)
    rules = sum(rows for version, rows in metrics.rules_versions.items() if int(version) > RULES_VERSION)
    return max(schema, rules)


def _unexplained(metrics: DayMetrics) -> int | None:
    """Rows that are read back beyond those that the job wrote, or fewer (negative). None where a count is missing. Duplicates
    are what the job's files leave over of the rows read, so this says nothing of which rows it took for duplicates."""
    given = metrics.given
    before = (given.rows_previous, given.rows_read)
    after = (given.duplicates, given.suppressed)
    if None in before or None in after:
        return None
    return metrics.rows + sum(count or 0 for count in after) - sum(count or 0 for count in before)
