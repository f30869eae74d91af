"""Everything that is expected of a day, given its metrics and those of the days before. Pure.

What is compared with history is compared per source: a new source, or one that grows, changes every share of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from headrace_spark.quality.absolute import absolute_checks, wrong_columns
from headrace_spark.quality.catalogue import CATALOGUE
from headrace_spark.quality.checks import Check, Expected, Skipped
from headrace_spark.quality.metrics import DayMetrics
from headrace_spark.quality.money_checks import money_checks
from headrace_spark.quality.share_checks import share_checks
from headrace_spark.quality.volume_checks import volume_checks

__all__ = ["HISTORY_DAYS", "expect", "trailing"]

HISTORY_DAYS = 56
"""Eight weeks: eight days of each weekday."""

_UNREAD = "the rows are not read: their files lack columns, or have them with other types"


def expect(metrics: DayMetrics, history: Iterable[DayMetrics] = ()) -> Expected:
    """The expectations of a day as checks. Days of ``history`` that are not among the 56 before the day are left out. Where a
    column is missing or of another type, nothing else can be measured: then the columns alone are checked."""
    days = trailing(metrics.event_date, history)
    if wrong_columns(metrics):
        return _of_columns(metrics, days)
    found: list[Check | Skipped] = [*absolute_checks(metrics)]
    for compare in (volume_checks, share_checks, money_checks):
        found += compare(metrics, days)
    return Expected(
        event_date=metrics.event_date,
        checks=tuple(item for item in found if isinstance(item, Check)),
        skipped=tuple(item for item in found if isinstance(item, Skipped)),
        history_days=tuple(day.event_date for day in days),
    )


def _of_columns(metrics: DayMetrics, days: Sequence[DayMetrics]) -> Expected:
    return Expected(
        event_date=metrics.event_date,
        checks=tuple(check for check in absolute_checks(metrics) if check.name == "schema_columns"),
        skipped=tuple(Skipped(name=name, why=_UNREAD) for name in CATALOGUE if name != "schema_columns"),
        history_days=tuple(day.event_date for day in days),
    )


def trailing(day: str, history: Iterable[DayMetrics]) -> Sequence[DayMetrics]:
    """The days of ``history`` in the 56 days before ``day``, oldest first; of two of one date the later given."""
    first = str(date.fromisoformat(day) - timedelta(days=HISTORY_DAYS))
    found = {other.event_date: other for other in history if first <= other.event_date < day}
    return [found[name] for name in sorted(found)]
