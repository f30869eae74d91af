"""Funnels: steps in their order, inside one session, each with an event of its own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pyspark.sql import SparkSession
from tests.support.spark_rows import DAY, Values, at, lake_rows, rows_of

from headrace_core.tables import FUNNELS
from headrace_spark.funnels import DEFAULT_FUNNELS, Funnel
from headrace_spark.transforms.funnels import funnels
from headrace_spark.transforms.sessions import in_sessions

_ABC = Funnel(name="abc", steps=("A", "B", "C"))


def _visit(user: str, names: str, start: str = "9:00", **more: str) -> list[Values]:
    begin = at(start)
    return [
        {"user_key": f"u:{user}", "event_name": name, "event_ts": begin + timedelta(minutes=minute), **more}
        for minute, name in enumerate(names)
    ]


def _counts(
    spark: SparkSession, rows: Iterable[Values], *of: Funnel
) -> list[tuple[str, str, int, str, int, int]]:
    table = funnels(in_sessions(lake_rows(spark, rows), DAY), DAY, of)
    assert tuple(table.columns) == FUNNELS.column_names
    found = rows_of(table, "funnel", "source", "step")
    assert {row["event_date"] for row in found} <= {DAY}
    return [
        (row["funnel"], row["source"], row["step"], row["step_name"], row["users"], row["sessions"])
        for row in found
    ]


def test_a_session_comes_as_far_as_its_events_are_in_order(spark: SparkSession) -> None:
    rows = [
        *_visit("all", "xAxBxCx"),
        *_visit("skips", "ACB"),
        *_visit("backwards", "CBA"),
        *_visit("again", "BABAC"),
        *_visit("never", "BC"),
    ]
    assert _counts(spark, rows, _ABC) == [
        ("abc", "shop", 1, "A", 4, 4),
        ("abc", "shop", 2, "B", 3, 3),
        ("abc", "shop", 3, "C", 2, 2),
    ]


def test_sessions_do_not_add_up_but_users_count_once(spark: SparkSession) -> None:
    rows = [*_visit("a", "A", "9:00"), *_visit("a", "B", "12:00"), *_visit("a", "AB", "15:00")]
    assert [(users, sessions) for *_, users, sessions in _counts(spark, rows, _ABC)] == [
        (1, 2),
        (1, 1),
        (0, 0),
    ]


def test_sources_apart_and_several_funnels(spark: SparkSession) -> None:
    twice = Funnel(name="twice", steps=("A", "A"))
    rows = [
        *_visit("a", "AA", source="app"),
        *_visit("a", "A", source="web"),
        *_visit("a", "B", source="none"),
    ]
    assert _counts(spark, rows, _ABC, twice) == [
        ("abc", "app", 1, "A", 1, 1),
        ("abc", "app", 2, "B", 0, 0),
        ("abc", "app", 3, "C", 0, 0),
        ("abc", "web", 1, "A", 1, 1),
        ("abc", "web", 2, "B", 0, 0),
        ("abc", "web", 3, "C", 0, 0),
        ("twice", "app", 1, "A", 1, 1),
        ("twice", "app", 2, "A", 1, 1),
        ("twice", "web", 1, "A", 1, 1),
        ("twice", "web", 2, "A", 0, 0),
    ]


def test_events_of_one_time_count_in_the_order_of_their_positions(spark: SparkSession) -> None:
    rows = [
        {"user_key": f"u:{names}", "event_name": name, "event_ts": at("9:00")}
        for names in ("ABC", "CBA")
        for name in names
    ]
    assert [sessions for *_, sessions in _counts(spark, rows, _ABC)] == [2, 1, 1]


def test_a_session_over_midnight_reaches_its_steps_after_it(spark: SparkSession) -> None:
    rows = _visit("a", "AxBxC", "23:58")
    assert [sessions for *_, sessions in _counts(spark, rows, _ABC)] == [1, 1, 1]


def test_nothing_gives_nothing(spark: SparkSession) -> None:
    assert _counts(spark, [], *DEFAULT_FUNNELS) == []
    assert _counts(spark, _visit("a", "ABC")) == []
