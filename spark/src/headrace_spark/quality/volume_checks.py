"""How many rows a day has, and when: compared with the same weekday of the last weeks, since weeks have a pattern. Pure.

Days that a shop is closed have no generation and no metrics; they are no days to compare with. Daylight saving moves local
hours by one, so an hour is only sure to be busy if its neighbours always were too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from headrace_spark.quality.bounds import range_of_counts
from headrace_spark.quality.catalogue import ExpectationName
from headrace_spark.quality.checks import Check, Skipped
from headrace_spark.quality.metrics import HOURS, DayMetrics, SourceMetrics

__all__ = ["BUSY_ROWS", "LEAST_WEEKS", "busy_hours", "shift_of_hours", "volume_checks"]

LEAST_WEEKS = 4
"""Days of the same weekday below which volumes and hours are not compared."""

BUSY_ROWS = 50
"""Rows that an hour had on every comparable day before its emptiness is worth a word."""

_DAYS_WITH_A_HOLE = 6
_LEAST_FACTOR = 4.0
_LEAST_ROWS = 100
_WEEK = 7
_EDGE = 0.02
_NOTHING = SourceMetrics()


def volume_checks(metrics: DayMetrics, history: Sequence[DayMetrics]) -> list[Check | Skipped]:
    """volume_against_trailing_weeks and active_hours per source, missing_hour and day_not_empty for the whole day."""
    weekday = date.fromisoformat(metrics.event_date).weekday()
    same = [day for day in history if date.fromisoformat(day.event_date).weekday() == weekday]
    sources = sorted({*metrics.sources, *(name for day in history for name in day.sources)})
    found: list[Check | Skipped] = []
    for source in sources:
        since = next((day.event_date for day in history if source in day.sources), metrics.event_date)
        days = [day for day in same if day.event_date >= since]
        found += _volume(metrics, source, days, silent=_is_silent(history, source))
        found += _active_hours(metrics, source, days)
    return [*found, *_missing_hours(metrics, same), *_not_empty(metrics, same)]


def _not_empty(metrics: DayMetrics, days: Sequence[DayMetrics]) -> list[Check | Skipped]:
    """Nothing where one of the days before was quiet: a shop may close."""
    if len(days) < LEAST_WEEKS:
        return [_too_few("day_not_empty", "", len(days))]
    counts = [day.rows for day in days]
    if min(counts) < BUSY_ROWS:
        return []
    because = f"{min(counts)} to {max(counts)} rows on {len(days)} days of the same weekday"
    return [Check(name="day_not_empty", measured=metrics.rows, at_least=1, because=because)]


def _is_silent(history: Sequence[DayMetrics], source: str) -> bool:
    """Whether the last seven days with metrics have no row of the source: then its absence is known."""
    return all(source not in day.sources for day in history[-_WEEK:])


def _volume(
    metrics: DayMetrics, source: str, days: Sequence[DayMetrics], *, silent: bool
) -> list[Check | Skipped]:
    rows = metrics.sources.get(source, _NOTHING).rows
    if silent and rows == 0:
        return []
    counts = [day.sources.get(source, _NOTHING).rows for day in days]
    usual = range_of_counts(counts, least_days=LEAST_WEEKS, least_factor=_LEAST_FACTOR)
    if usual is None:
        return [_too_few("volume_against_trailing_weeks", source, len(days))]
    check = Check(
        name="volume_against_trailing_weeks",
        subject=source,
        source=source,
        measured=rows,
        at_least=round(usual.at_least, 1),
        at_most=round(usual.at_most, 1),
        because=f"{min(counts)} to {max(counts)} rows on {len(days)} days of the same weekday",
    )
    return [check]


def _too_few(name: ExpectationName, subject: str, days: int) -> Skipped:
    return Skipped(
        name=name,
        subject=subject,
        why=f"{days} days of the same weekday are known, {LEAST_WEEKS} are needed",
    )


def _missing_hours(metrics: DayMetrics, days: Sequence[DayMetrics]) -> list[Check | Skipped]:
    if len(days) < LEAST_WEEKS:
        return [_too_few("missing_hour", "", len(days))]
    hours, busy = metrics.hours, busy_hours([day.hours for day in days])
    return [
        Check(
            name="missing_hour",
            subject=f"{hour:02d}:00 UTC",
            measured=hours[hour],
            at_least=1,
            because=f"{BUSY_ROWS} rows or more in this hour and those beside it on {len(days)} days of the same weekday",
        )
        for hour in sorted(busy)
        if _is_inside(hours, busy, hour)
    ]


def busy_hours(days: Sequence[Sequence[int]]) -> frozenset[int]:
    """The hours that are sure to be busy: so were they, and the hours beside them, on every day. Of six days or more one that
    has nothing at all there does not count, so that a hole does not hide the next one."""
    return frozenset(hour for hour in range(HOURS) if _quietest(days, hour) >= BUSY_ROWS)


def _quietest(days: Sequence[Sequence[int]], hour: int) -> int:
    lowest = sorted(min(day[hour - 1], day[hour], day[(hour + 1) % HOURS]) for day in days)
    return lowest[1] if lowest[0] == 0 and len(lowest) >= _DAYS_WITH_A_HOLE else lowest[0]


def _is_inside(hours: Sequence[int], busy: frozenset[int], hour: int) -> bool:
    """Whether the day goes on around the hour. A shop that opens late or closes early has no hole in its day; one that never
    closes has, even at an end of it."""
    before = any(hours[:hour]) or busy.issuperset(range(hour))
    after = any(hours[hour + 1 :]) or busy.issuperset(range(hour + 1, HOURS))
    return before and after


def _active_hours(metrics: DayMetrics, source: str, days: Sequence[DayMetrics]) -> list[Check | Skipped]:
    today = metrics.sources.get(source, _NOTHING)
    if today.rows < _LEAST_ROWS:
        return []
    others = [
        day.sources[source].hours
        for day in days
        if source in day.sources and day.sources[source].rows >= _LEAST_ROWS
    ]
    if len(others) < LEAST_WEEKS:
        return [_too_few("active_hours", source, len(others))]
    check = Check(
        name="active_hours",
        subject=source,
        source=source,
        measured=shift_of_hours(today.hours, others),
        at_most=1,
        because=f"begin and end of {len(others)} days of the same weekday",
    )
    return [check]


def shift_of_hours(today: Sequence[int], days: Sequence[Sequence[int]]) -> int:
    """By how many hours both ends of the day lie before, or both after, those of all other days."""
    begin, end = _ends(today)
    others = [_ends(day) for day in days]
    begins, ends = [first for first, _ in others], [last for _, last in others]
    earlier = min(min(begins) - begin, min(ends) - end)
    later = min(begin - max(begins), end - max(ends))
    return max(earlier, later, 0)


def _ends(hours: Sequence[int]) -> tuple[int, int]:
    """The hours before, and after, which 2 % of the rows lie."""
    total, passed, begin = sum(hours), 0, 0
    for hour, rows in enumerate(hours):
        if passed < _EDGE * total:
            begin = hour
        passed += rows
        if passed >= (1 - _EDGE) * total:
            return begin, hour
    return begin, HOURS - 1
