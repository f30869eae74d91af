"""Shares of rows (nulls, unresolved, corrected clocks, duplicates): compared with the shares of the days before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from headrace_spark.quality.bounds import LEAST_DAYS, Share, share_at_most
from headrace_spark.quality.catalogue import ExpectationName, null_rate
from headrace_spark.quality.checks import Check, Skipped
from headrace_spark.quality.metrics import DELAYS_S, NULL_RULES, DayMetrics, SourceMetrics

__all__ = ["LEAST_ROWS", "share_checks"]

LEAST_ROWS = 100
"""Rows below which a share of a source says nothing."""

_BY_DEDUP = "found by dedup"
_NOT_COUNTED = (
    "the verdicts of the day are not all there: they are archived by the loader, and deleted by retention"
)

_HOURS_LATE = DELAYS_S.index(50_400)
"""The bucket of delays between half an hour and 14 hours: more is late delivery, not a clock."""


class _Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A share of a source's rows. ``aspect`` tells measures of one name apart."""

    name: ExpectationName
    of: Callable[[SourceMetrics], Share]
    least_change: float
    aspect: str = ""


def _nulls(column: str) -> _Measure:
    def of(source: SourceMetrics) -> Share:
        count = source.nulls.get(column)
        return Share(0, 0) if count is None else Share(count.nulls, count.rows)

    return _Measure(name=null_rate(column), of=of, least_change=0.05)


def _quality(*values: str) -> Callable[[SourceMetrics], Share]:
    return lambda source: Share(sum(source.ts_quality.get(value, 0) for value in values), source.rows)


_OF_SOURCES = (
    *(_nulls(column) for column in NULL_RULES),
    _Measure(
        name="unresolved_rate",
        of=lambda source: Share(source.identity.get("unresolved", 0), source.rows),
        least_change=0.05,
    ),
    _Measure(name="skew_corrected_rate", of=_quality("skew_corrected"), least_change=0.25),
    _Measure(
        name="clock_shift",
        aspect="hours late",
        of=lambda source: Share(source.delays[_HOURS_LATE], source.rows),
        least_change=0.5,
    ),
    _Measure(name="clock_shift", aspect="no usable time", of=_quality("from_received"), least_change=0.25),
    _Measure(
        name="clock_shift",
        aspect="no zone",
        of=_quality("zone_assumed", "ambiguous_local"),
        least_change=0.5,
    ),
)


def share_checks(metrics: DayMetrics, history: Sequence[DayMetrics]) -> list[Check | Skipped]:
    """Shares per source, then those that only the whole day has."""
    found: list[Check | Skipped] = []
    for name, source in metrics.sources.items():
        days = [day.sources[name] for day in history if name in day.sources]
        for measure in _OF_SOURCES:
            subject = f"{measure.aspect}, {name}" if measure.aspect else name
            found += _check(measure, subject, measure.of(source), [measure.of(day) for day in days], name)
    if metrics.given.records_deduplicated is None:
        found.append(Skipped(name="duplicate_rate", subject=_BY_DEDUP, why=_NOT_COUNTED))
    for measure_of_day, name_of_day, aspect in _OF_DAYS:
        today, before = measure_of_day(metrics), [measure_of_day(day) for day in history]
        found += _check(
            _Measure(name=name_of_day, of=_quality(), least_change=0.05), aspect, today, before, None
        )
    return found


def _check(
    measure: _Measure, subject: str, today: Share, history: Sequence[Share], source: str | None
) -> list[Check | Skipped]:
    """A check, or why there is none; nothing at all where the day has too few rows to say anything."""
    if today.whole < LEAST_ROWS:
        return []
    days = [day for day in history if day.whole >= LEAST_ROWS]
    if len(days) < LEAST_DAYS:
        why = f"{len(days)} days with {LEAST_ROWS} rows are known, {LEAST_DAYS} are needed"
        return [Skipped(name=measure.name, subject=subject, why=why)]
    bound = share_at_most(days, today.whole, least_change=measure.least_change)
    if bound is None:
        return [Skipped(name=measure.name, subject=subject, why="the days before make no share unusual")]
    shares = sorted(day.value for day in days)
    check = Check(
        name=measure.name,
        subject=subject,
        source=source,
        measured=round(today.value, 6),
        at_least=0,
        at_most=round(bound, 6),
        because=f"{shares[0]:.3f} to {shares[-1]:.3f}, mostly {shares[len(shares) // 2]:.3f}, on {len(days)} days",
    )
    return [check]


def _repeated(day: DayMetrics) -> Share:
    """Of different ids those that tell what another one tells."""
    return Share(max(0, day.distinct_ids - day.distinct_contents), day.distinct_ids)


def _dropped_by_the_job(day: DayMetrics) -> Share:
    """Of the day's rows, not of those read: a run that reads a few late files sees mostly copies."""
    duplicates = day.given.duplicates
    return Share(0, 0) if duplicates is None else Share(duplicates, day.rows + duplicates)


def _dropped_by_dedup(day: DayMetrics) -> Share:
    given = day.given
    if given.records_deduplicated is None or given.duplicates_at_dedup is None:
        return Share(0, 0)
    return Share(given.duplicates_at_dedup, given.records_deduplicated)


_OF_DAYS: tuple[tuple[Callable[[DayMetrics], Share], ExpectationName, str], ...] = (
    (_repeated, "repeated_content_rate", ""),
    (_dropped_by_the_job, "duplicate_rate", "found by the job"),
    (_dropped_by_dedup, "duplicate_rate", _BY_DEDUP),
)
