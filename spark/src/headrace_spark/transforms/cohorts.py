"""Cohorts: the users of a day by the day on which each was first seen."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.tables import COHORTS
from headrace_spark.transforms.rows import as_table, table_schema

__all__ = ["cohorts"]


def cohorts(user_day: DataFrame, earlier: DataFrame) -> DataFrame:
    """The table cohorts of a day's user_day. ``earlier`` are user_day rows of days before it (event_date, user_key).

    A user is first seen with any source, as in user_first_seen; users whom ``earlier`` does not know begin on the day itself.
    """
    first_seen = (
        earlier.join(user_day.select("user_key").distinct(), "user_key", "left_semi")
        .groupBy("user_key")
        .agg(F.min("event_date").alias("first_date"))
    )
    grouped = (
        user_day.join(first_seen, "user_key", "left")
        .withColumn("cohort_date", F.least("event_date", "first_date"))
        .groupBy("event_date", "cohort_date", "source")
        .agg(F.count_distinct("user_key").alias("users"), F.sum("events").alias("events"))
    )
    return as_table(grouped, table_schema(COHORTS))
