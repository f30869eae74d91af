"""Everything that is expected of a day, given its metrics and those of the days before. Pure.

What is compared with history is compared per source: a new source, or one that grows, changes every share of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from headrace_spark.quality.absolute import absolute_checks
from headrace_spark.quality.checks import Check, Expected, Skipped
from headrace_spark.quality.metrics import DayMetrics
from headrace_spark.quality.money_checks import money_checks
from headrace_spark.quality.share_checks import share_checks
from headrace_spark.quality.volume_checks import volume_checks

__all__ = ["HISTORY_DAYS", "expect", "trailing"]

HISTORY_DAYS = 56
"""Eight weeks: eight days of each weekday."""


def expect(metrics: DayMetrics, history: Iterable[DayMetrics] = ()) -> Expected:
    """The expectations of a day as checks. Days of ``history`` that are not among the 56 before the day are left out."""
    days = trailing(metrics.event_date, history)
    found: list[Check | Skipped] = [*absolute_checks(metrics)]
    for compare in (volume_checks, share_checks, money_checks):
        found += compare(metrics, days)
    return Expected(
        event_date=metrics.event_date,
        checks=tuple(item for item in found if isinstance(item, Check)),
        skipped=tuple(item for item in found if isinstance(item, Skipped)),
        history_days=tuple(day.event_date for day in days),
    )


def trailing(day: str, history: Iterable[DayMetrics]) -> Sequence[DayMetrics]:
    """The days of ``history`` in the 56 days before ``day``, oldest first; of two of one date the later given."""
    first = str(date.fromisoformat(day) - timedelta(days=HISTORY_DAYS))
    found = {other.event_date: other for other in history if first <= other.event_date < day}
    return [found[name] for name in sorted(found)]
