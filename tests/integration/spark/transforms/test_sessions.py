"""Sessions of a day: pauses, midnights, sources, and activity that never pauses."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pyspark.sql import SparkSession
from tests.support.spark_rows import DAY, Values, at, lake_rows, rows_of

from headrace_core.keys import session_key
from headrace_core.tables import SESSIONS
from headrace_spark.transforms.rows import day_start_us
from headrace_spark.transforms.sessions import in_sessions, sessions

_EVERYTHING_READ_US = day_start_us(DAY + timedelta(days=9))
_SEED = 20_260_329


def _sessions(
    spark: SparkSession,
    rows: Iterable[Mapping[str, Any]],
    *,
    day: date = DAY,
    read_until_us: int = _EVERYTHING_READ_US,
) -> list[Values]:
    events = in_sessions(lake_rows(spark, rows), day)
    found = rows_of(sessions(events, day, read_until_us=read_until_us), "source", "user_key", "started_ts")
    for row in found:
        assert row["event_date"] == day == row["started_ts"].date()
        started_us = round(row["started_ts"].timestamp() * 1_000_000)
        assert row["session_key"] == session_key(row["source"], row["user_key"], started_us)
    return found


def _spans(found: Iterable[Values]) -> list[tuple[datetime, datetime]]:
    return [(row["started_ts"], row["ended_ts"]) for row in found]


def _of(who: str, times: Iterable[datetime], **more: Any) -> list[Values]:
    return [{"user_key": f"u:{who}", "event_ts": time, **more} for time in times]


def test_columns_are_those_of_the_table(spark: SparkSession) -> None:
    table = sessions(in_sessions(lake_rows(spark, []), DAY), DAY, read_until_us=0)
    assert tuple(table.columns) == SESSIONS.column_names
    assert table.collect() == []


def test_a_pause_of_thirty_minutes_ends_a_session(spark: SparkSession) -> None:
    almost, whole = at("10:29:59.999999"), at("10:30")
    rows = _of("a", [at("10:00"), almost]) + _of("b", [at("10:00"), whole])
    assert _spans(_sessions(spark, rows)) == [
        (at("10:00"), almost),
        (at("10:00"), at("10:00")),
        (whole, whole),
    ]


def test_sources_and_users_have_sessions_of_their_own(spark: SparkSession) -> None:
    rows = [
        {"source": source, "user_key": key, "event_ts": at("10:00") + timedelta(minutes=number)}
        for number, (source, key) in enumerate(
            [("app", "u:a"), ("web", "u:a"), ("app", "a:a"), ("app", "u:a")]
        )
    ]
    found = _sessions(spark, rows)
    assert [(row["source"], row["user_key"], row["events"]) for row in found] == [
        ("app", "a:a", 1),
        ("app", "u:a", 2),
        ("web", "u:a", 1),
    ]


def test_events_that_name_no_user_are_in_no_session(spark: SparkSession) -> None:
    nobody = {"user_key": "e:1", "user_id": None, "anonymous_id": None, "identity_status": "unresolved"}
    assert _sessions(spark, [nobody, {**nobody, "user_key": "e:2"}]) == []


def test_a_session_belongs_to_the_day_on_which_it_starts(spark: SparkSession) -> None:
    over = [at("23:50"), at("23:59:59.999999"), at("0:10", 1), at("0:35", 1)]
    rows = _of("a", over)
    assert _spans(_sessions(spark, rows)) == [(over[0], over[-1])]
    assert _sessions(spark, rows, day=DAY + timedelta(days=1)) == []


def test_an_event_at_midnight_goes_on_with_yesterdays_session(spark: SparkSession) -> None:
    rows = _of("a", [at("23:45", -1), at("0:00"), at("0:20"), at("0:50")])
    assert _spans(_sessions(spark, rows)) == [(at("0:50"), at("0:50"))]
    assert _spans(_sessions(spark, rows, day=DAY - timedelta(days=1))) == [(at("23:45", -1), at("0:20"))]


def test_activity_without_pause_is_cut_at_midnights(spark: SparkSession) -> None:
    """Begun at noon of the first day it goes on to the end of the second one, and is then one session a day."""
    begun = at("12:00", -2)
    ticks = [begun + timedelta(minutes=29 * number) for number in range(5 * 24 * 60 // 29)]
    rows = _of("bot", ticks)
    spans = {shift: _spans(_sessions(spark, rows, day=DAY + timedelta(days=shift))) for shift in range(-2, 3)}
    on = {
        shift: [tick for tick in ticks if tick.date() == DAY + timedelta(days=shift)]
        for shift in range(-2, 3)
    }
    assert spans == {
        -2: [(begun, on[-1][-1])],
        -1: [],
        0: [(on[0][0], on[0][-1])],
        1: [(on[1][0], on[1][-1])],
        2: [(on[2][0], on[2][-1])],
    }
    assert on[-1][-1] - begun < timedelta(hours=48)


def test_a_pause_right_before_the_first_event_of_the_day_before_counts(spark: SparkSession) -> None:
    """Begun at midnight sharp after a pause, activity goes on over the next midnight; begun within 30 minutes it is cut."""
    day_before = [at("0:00", -1) + timedelta(minutes=20 * number) for number in range(72)]
    to_noon = [at("0:00") + timedelta(minutes=20 * number) for number in range(36)]
    rows = _of("cut", [at("23:30:00.000001", -2), *day_before, *to_noon])
    rows += _of("goes on", [at("23:30", -2), *day_before, *to_noon])
    assert [(row["user_key"], row["started_ts"]) for row in _sessions(spark, rows)] == [("u:cut", at("0:00"))]


def test_what_a_session_holds(spark: SparkSession) -> None:
    rows: list[Values] = [
        {"event_type": "track", "event_ts": at("9:00"), "customer_id": None},
        {"event_type": "page", "event_ts": at("9:01"), "page_path": "/first", "referrer_medium": "search"},
        {
            "event_type": "track",
            "event_ts": at("9:02"),
            "revenue": "10.1000",
            "currency": "EUR",
            "customer_id": "c",
        },
        {"event_type": "screen", "event_ts": at("9:03"), "page_path": "/last", "utm_source": "mail"},
        {
            "event_type": "track",
            "event_ts": at("9:04"),
            "revenue": "-3.0001",
            "currency": "USD",
            "utm_source": "late",
        },
    ]
    [found] = _sessions(spark, reversed(rows))
    for name, value in {
        "events": 5,
        "pages": 2,
        "revenue": Decimal("7.0999"),
        "entry_path": "/first",
        "exit_path": "/last",
        "referrer_medium": "search",
        "utm_source": "mail",
        "customer_id": "c",
        "is_open": False,
    }.items():
        assert found[name] == value, name


def test_events_of_one_time_are_in_the_order_of_their_source_positions(spark: SparkSession) -> None:
    rows = [
        {"event_ts": at("9:00"), "page_path": path, "src_offset": 9 - number}
        for number, path in enumerate("abc")
    ]
    [found] = _sessions(spark, rows)
    assert (found["entry_path"], found["exit_path"], found["revenue"]) == ("c", "a", Decimal(0))


def test_a_session_is_open_while_it_may_go_on(spark: SparkSession) -> None:
    minute_us = 60_000_000
    rows = _of("a", [at("23:50")])
    closes_us = day_start_us(DAY) + (24 * 60 + 20) * minute_us
    for read_until_us, is_open in ((closes_us - 1, True), (closes_us, False)):
        [found] = _sessions(spark, rows, read_until_us=read_until_us)
        assert found["is_open"] is is_open


def test_a_session_that_is_cut_closes_at_midnight(spark: SparkSession) -> None:
    ticks = [at("0:00", -1) + timedelta(minutes=25 * number) for number in range(200)]
    until_midnight = [tick for tick in ticks if tick < at("0:00", 1)]
    rows = _of("bot", [at("23:50", -2), *until_midnight])
    [found] = _sessions(spark, rows, read_until_us=day_start_us(DAY + timedelta(days=1)))
    assert found["is_open"] is False
    [found] = _sessions(spark, rows, read_until_us=day_start_us(DAY + timedelta(days=1)) - 1)
    assert found["is_open"] is True


def _plainly(times: list[datetime]) -> list[tuple[datetime, datetime]]:
    """All sessions of one user, told forwards by the words of the contract: runs between pauses, cut at midnights."""
    runs: list[list[datetime]] = []
    for time in sorted(times):
        if runs and time - runs[-1][-1] < timedelta(minutes=30):
            runs[-1].append(time)
        else:
            runs.append([time])
    pieces: list[list[datetime]] = []
    for run in runs:
        begins = run[0].date()
        by_day: defaultdict[date, list[datetime]] = defaultdict(list)
        for time in run:
            by_day[begins if time.date() <= begins + timedelta(days=1) else time.date()].append(time)
        pieces += by_day.values()
    return [(piece[0], piece[-1]) for piece in pieces]


def test_random_activity_gives_what_the_definition_gives(spark: SparkSession) -> None:
    """Each day is decided from four days alone, and all days together are the sessions of the whole history."""
    chance = random.Random(_SEED)
    activity: dict[str, list[datetime]] = {}
    for user in range(60):
        longest = chance.choice((29, 30, 31, 45, 400))
        time, times = at("0:00", -4) + timedelta(minutes=chance.randrange(600)), []
        while time < at("0:00", 4):
            times.append(time)
            time += timedelta(minutes=chance.randint(1 if longest > 31 else 20, longest))
        activity[f"{user:03d}"] = times
    rows = [row for user, times in activity.items() for row in _of(user, times)]
    expected = sorted((user, *span) for user, times in activity.items() for span in _plainly(times))
    found = [
        (row["user_key"][2:], row["started_ts"], row["ended_ts"])
        for shift in range(-4, 4)
        for row in _sessions(spark, rows, day=DAY + timedelta(days=shift))
    ]
    assert sorted(found) == expected
    assert max(end - start for _, start, end in expected) > timedelta(hours=30)
