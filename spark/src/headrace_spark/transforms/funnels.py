"""Funnels of a day: how far its sessions came through ordered steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.tables import FUNNELS
from headrace_spark.funnels import Funnel
from headrace_spark.transforms.rows import as_table, table_schema

__all__ = ["funnels"]

_REACHED = "reached"


def funnels(events: DataFrame, day: date, of: Sequence[Funnel]) -> DataFrame:
    """The table funnels of the sessions of a day, given their events (`headrace_spark.transforms.sessions.in_sessions`).

    Every step has a row for each source in which a session reached the first one. Each step takes an event of its own:
    the first of its name behind the event of the step before.
    """
    names = sorted({name for funnel in of for name in funnel.steps})
    in_order = Window.partitionBy("session_key").orderBy("ts_us", "src_partition", "src_offset")
    steps = events.where(F.col("event_name").isin(names)).select(
        "session_key", "source", "user_key", "event_name", F.row_number().over(in_order).alias("at")
    )
    schema = table_schema(FUNNELS)
    tables = (as_table(_counted(steps, funnel).withColumn("event_date", F.lit(day)), schema) for funnel in of)
    return reduce(DataFrame.unionByName, tables, events.sparkSession.createDataFrame([], schema))


def _counted(steps: DataFrame, funnel: Funnel) -> DataFrame:
    step = F.explode(F.sequence(F.lit(1), F.lit(len(funnel.steps))))
    came = F.col(_REACHED) >= F.col("step")
    return (
        _reached(steps, funnel)
        .where(F.col(_REACHED) > 0)
        .withColumn("step", step)
        .groupBy("source", "step")
        .agg(
            F.count_distinct(F.when(came, F.col("user_key"))).alias("users"),
            F.count(F.when(came, 1)).alias("sessions"),
        )
        .withColumn("funnel", F.lit(funnel.name))
        .withColumn("step_name", F.element_at(F.array(*map(F.lit, funnel.steps)), F.col("step")))
    )


def _reached(steps: DataFrame, funnel: Funnel) -> DataFrame:
    """Sessions with the number of steps that each came through, 0 where it missed the first."""
    session = Window.partitionBy("session_key")
    places: list[str] = []
    for number, name in enumerate(funnel.steps, 1):
        behind = F.col("at") > (F.col(places[-1]) if places else F.lit(0))
        first = F.min(F.when((F.col("event_name") == name) & behind, F.col("at"))).over(session)
        steps = steps.withColumn(f"step_{number}", first)
        places.append(f"step_{number}")
    # A step that was not reached has no place, and so have those behind it.
    reached: Column = reduce(Column.__add__, (F.col(place).isNotNull().cast("int") for place in places))
    return steps.groupBy("session_key", "source", "user_key").agg(F.max(reached).alias(_REACHED))
