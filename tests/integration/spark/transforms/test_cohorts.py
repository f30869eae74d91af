"""Cohorts: users of a day by the day on which each was first seen."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import SparkSession
from tests.support.spark_rows import DAY, lake_rows, rows_of

from headrace_core.tables import COHORTS
from headrace_spark.transforms.cohorts import cohorts
from headrace_spark.transforms.rollups import user_days


def _before(days: int) -> date:
    return DAY - timedelta(days=days)


def test_users_belong_to_the_day_of_their_first_event(spark: SparkSession) -> None:
    rows = lake_rows(
        spark,
        [
            {"user_key": "u:new"},
            {"user_key": "u:new"},
            {"user_key": "u:old"},
            {"user_key": "u:old", "source": "app"},
            {"user_key": "a:older"},
            {"user_key": "e:1", "identity_status": "unresolved"},
        ],
    )
    earlier = spark.createDataFrame(
        [("u:old", _before(3)), ("u:old", _before(9)), ("a:older", _before(9)), ("u:gone", _before(1))],
        "user_key string, event_date date",
    )
    table = cohorts(user_days(rows), earlier)
    assert tuple(table.columns) == COHORTS.column_names
    found = [tuple(row.values()) for row in rows_of(table, "cohort_date", "source")]
    assert found == [
        (DAY, _before(9), "app", 1, 1),
        (DAY, _before(9), "shop", 2, 2),
        (DAY, DAY, "shop", 1, 2),
    ]
