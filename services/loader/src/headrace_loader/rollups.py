"""Rollups in plain Python (rule L4): how measures add up, and what a recomputation from rows gives.

The memory warehouse keeps them this way; tests hold the SQL of the real one equal to `Rollups.of`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from headrace_core.events import LATE_AFTER_US

__all__ = ["BucketKey", "Measures", "Rollups", "UserDay", "UserDayKey", "bucket_key", "is_late"]

BucketKey = tuple[datetime, str, str, str, str]
"""Bucket start, source, event type, event name and currency; empty text where an event has none."""

UserDayKey = tuple[date, str, str]
"""Event date, user key, source."""

_LATE = timedelta(microseconds=LATE_AFTER_US)


@dataclass(frozen=True, slots=True)
class Measures:
    """Additive measures, and the bounds of the event times."""

    events: int
    late_events: int
    revenue_events: int
    revenue: Decimal
    min_event_ts: datetime
    max_event_ts: datetime

    def __add__(self, other: Measures) -> Measures:
        """Both together."""
        return Measures(
            self.events + other.events,
            self.late_events + other.late_events,
            self.revenue_events + other.revenue_events,
            self.revenue + other.revenue,
            min(self.min_event_ts, other.min_event_ts),
            max(self.max_event_ts, other.max_event_ts),
        )


@dataclass(frozen=True, slots=True)
class UserDay:
    """What one user key did on one day in one source."""

    events: int
    min_event_ts: datetime
    max_event_ts: datetime

    def __add__(self, other: UserDay) -> UserDay:
        """Both together."""
        first, last = min(self.min_event_ts, other.min_event_ts), max(self.max_event_ts, other.max_event_ts)
        return UserDay(self.events + other.events, first, last)


def is_late(row: dict[str, Any]) -> bool:
    """Whether the event came in after its day was reported: 6 hours after the day's end."""
    event_ts: datetime = row["event_ts"]
    received_ts: datetime = row["received_ts"]
    midnight = event_ts.replace(hour=0, minute=0, second=0, microsecond=0)
    return received_ts >= midnight + _LATE


def bucket_key(row: dict[str, Any]) -> BucketKey:
    """The minute bucket of a row."""
    minute = row["event_ts"].replace(second=0, microsecond=0)
    return minute, row["source"], row["event_type"], row["event_name"] or "", row["currency"] or ""


def _measures(row: dict[str, Any]) -> Measures:
    revenue: Decimal | None = row["revenue"]
    return Measures(
        events=1,
        late_events=int(is_late(row)),
        revenue_events=int(revenue is not None),
        revenue=revenue or Decimal(0),
        min_event_ts=row["event_ts"],
        max_event_ts=row["event_ts"],
    )


def _user_day_key(row: dict[str, Any]) -> UserDayKey | None:
    """None where the event names no user: such events count for nobody."""
    if row["identity_status"] == "unresolved":
        return None
    return row["event_ts"].date(), row["user_key"], row["source"]


@dataclass(slots=True)
class Rollups:
    """Minute buckets and user days; hours, days and first-seen times follow from them."""

    minutes: dict[BucketKey, Measures] = field(default_factory=dict)
    user_days: dict[UserDayKey, UserDay] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[dict[str, Any]]) -> Rollups:
        """Recomputed from rows."""
        rollups = cls()
        rollups.add(rows)
        return rollups

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows that were inserted."""
        for row in rows:
            bucket, measures = bucket_key(row), _measures(row)
            known = self.minutes.get(bucket)
            self.minutes[bucket] = known + measures if known else measures
            user = _user_day_key(row)
            if user is None:
                continue
            one = UserDay(1, row["event_ts"], row["event_ts"])
            before = self.user_days.get(user)
            self.user_days[user] = before + one if before else one

    def correct(self, removed: Iterable[dict[str, Any]], rows: Iterable[dict[str, Any]]) -> None:
        """Recompute from ``rows``, all rows of the table, what the ``removed`` ones had touched."""
        removed = list(removed)
        if not removed:
            return
        buckets = {bucket_key(row) for row in removed}
        users = {user for row in removed if (user := _user_day_key(row)) is not None}
        for bucket in buckets:
            self.minutes.pop(bucket, None)
        for user in users:
            self.user_days.pop(user, None)
        again = Rollups.of(row for row in rows if bucket_key(row) in buckets or _user_day_key(row) in users)
        self.minutes.update({key: value for key, value in again.minutes.items() if key in buckets})
        self.user_days.update({key: value for key, value in again.user_days.items() if key in users})

    def coarser(self, unit: str) -> dict[BucketKey, Measures]:
        """Buckets of an ``hour`` or a ``day``, summed from minutes."""
        sums: dict[BucketKey, Measures] = {}
        for (minute, *rest), measures in self.minutes.items():
            start = minute.replace(minute=0) if unit == "hour" else minute.replace(hour=0, minute=0)
            key: BucketKey = (start, rest[0], rest[1], rest[2], rest[3])
            sums[key] = sums[key] + measures if key in sums else measures
        return sums

    def first_seen(self) -> dict[str, datetime]:
        """Per user key the earliest event time."""
        seen: dict[str, datetime] = {}
        for (_, user_key, _), day in self.user_days.items():
            seen[user_key] = min(seen.get(user_key, day.min_event_ts), day.min_event_ts)
        return seen
