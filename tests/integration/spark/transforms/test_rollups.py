"""Rollups of a day are what the load keeps: minutes from rows, hours and days from minutes, user days."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession
from tests.support.spark_rows import Values, at, lake_rows, rows_of

from headrace_core.tables import EVENTS_DAY, EVENTS_HOUR, EVENTS_MINUTE, USER_DAY
from headrace_loader.rollups import BucketKey, Measures, Rollups, UserDay, UserDayKey
from headrace_spark.transforms.rollups import coarser, minutes, user_days

_SEED = 20_260_329


def _history(count: int) -> list[Values]:
    chance = random.Random(_SEED)
    rows: list[Values] = []
    for _ in range(count):
        event_ts = at("0:00") + timedelta(
            microseconds=chance.choice((0, 1, 59_999_999, chance.randrange(86_400_000_000)))
        )
        kind, user = chance.choice(
            (("resolved", "u:1"), ("resolved", "u:2"), ("anonymous", "a:1"), ("unresolved", "e:1"))
        )
        rows.append(
            {
                "event_ts": event_ts,
                "received_ts": event_ts + timedelta(hours=chance.choice((0, 29, 31))),
                "source": chance.choice(("shop", "app")),
                "event_type": chance.choice(("track", "page")),
                "event_name": chance.choice((None, "", "Order Completed")),
                "currency": chance.choice((None, "EUR", "USD")),
                "revenue": chance.choice((None, "0.0001", "-5.2500", "12345678901234.9999")),
                "identity_status": kind,
                "user_key": user,
            }
        )
    return rows


def _buckets(frame: DataFrame) -> dict[BucketKey, Measures]:
    found: dict[BucketKey, Measures] = {}
    for row in rows_of(frame):
        key = (row["bucket_start"], row["source"], row["event_type"], row["event_name"], row["currency"])
        assert key not in found
        found[key] = Measures(**{name: row[name] for name in Measures.__slots__})
    return found


def _user_days(frame: DataFrame) -> dict[UserDayKey, UserDay]:
    return {
        (row["event_date"], row["user_key"], row["source"]): UserDay(
            row["events"], row["min_event_ts"], row["max_event_ts"]
        )
        for row in rows_of(frame)
    }


def test_rollups_are_those_of_the_load(spark: SparkSession) -> None:
    rows = lake_rows(spark, _history(600))
    expected = Rollups.of(rows_of(rows))
    of_minutes = minutes(rows)
    assert _buckets(of_minutes) == expected.minutes
    hours = coarser(of_minutes, "hour")
    assert _buckets(hours) == expected.coarser("hour")
    assert _buckets(coarser(of_minutes, "day")) == _buckets(coarser(hours, "day")) == expected.coarser("day")
    assert _user_days(user_days(rows)) == expected.user_days
    assert len(expected.minutes) > 100


def test_columns_are_those_of_the_tables(spark: SparkSession) -> None:
    of_minutes = minutes(lake_rows(spark, []))
    assert tuple(of_minutes.columns) == EVENTS_MINUTE.column_names
    assert tuple(coarser(of_minutes, "hour").columns) == EVENTS_HOUR.column_names
    assert tuple(coarser(of_minutes, "day").columns) == EVENTS_DAY.column_names
    assert tuple(user_days(lake_rows(spark, [])).columns) == USER_DAY.column_names
    assert dict(of_minutes.dtypes)["revenue"] == "decimal(38,4)"


def test_sums_stay_exact(spark: SparkSession) -> None:
    """Ten thousandths of large and small amounts, where floating point would lose them."""
    amounts = ["99999999999999.9999", "-99999999999999.9998", "0.0001"] * 50
    [found] = rows_of(minutes(lake_rows(spark, [{"revenue": amount} for amount in amounts])))
    assert found["revenue"] == sum(map(Decimal, amounts)) == Decimal("0.0100")
    assert found["revenue_events"] == 150
