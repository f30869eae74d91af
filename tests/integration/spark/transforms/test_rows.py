"""Rows of the lake: days, hours and lateness, whatever zone the session has."""

from datetime import timedelta

import pytest
from pyspark.sql import SparkSession
from tests.support.spark_rows import DAY, at, rows_of, staged_rows

from headrace_core.events import CleanEvent, columns_of
from headrace_loader.rollups import is_late
from headrace_spark.transforms.rows import lake_schema, of_day, staged_schema, with_day, with_hour


def test_schemas_are_a_clean_event_and_what_is_added() -> None:
    clean = [column.name for column in columns_of(CleanEvent)]
    assert staged_schema().names == [*clean, "file_id"]
    assert lake_schema().names == [*clean, "file_id", "event_date", "is_late"]


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Kiritimati"])
def test_days_and_hours_are_utc(spark: SparkSession, zone: str) -> None:
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        times = [
            at("0:00"),
            at("0:59:59.999999"),
            at("1:00"),
            at("23:59:59.999999"),
            at("0:00", 1),
            at("23:59", -1),
        ]
        frame = staged_rows(spark, [{"event_ts": time} for time in times])
        found = rows_of(with_hour(with_day(frame)), "src_offset")
        assert [row["hour"] for row in found] == [0, 0, 1, 23, 0, 23]
        assert [(row["event_date"] - DAY).days for row in found] == [0, 0, 0, 0, 1, -1]
        assert [row["src_offset"] for row in rows_of(of_day(frame, DAY), "src_offset")] == [0, 1, 2, 3]
    finally:
        spark.conf.set("spark.sql.session.timeZone", before or "UTC")


def test_late_is_what_the_load_calls_late(spark: SparkSession) -> None:
    edges = [at("6:00", 1) + timedelta(microseconds=shift) for shift in (-1, 0, 1)]
    given = [
        {"event_ts": at(time), "received_ts": edge} for edge in edges for time in ("0:00", "23:59:59.999999")
    ]
    found = rows_of(with_day(staged_rows(spark, given)), "src_offset")
    assert [row["is_late"] for row in found] == [False, False, True, True, True, True]
    assert [row["is_late"] for row in found] == [is_late(row) for row in found]
