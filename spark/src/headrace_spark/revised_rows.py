"""Rows of a day as a reprocess leaves them: changed rows in the place of those that they were (rule B4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_spark.transforms.rows import as_table, lake_schema

__all__ = ["POSITION", "RowRevision"]

POSITION = ("src_partition", "src_offset")
"""What a row keeps, whatever it is made into."""


@dataclass(frozen=True, slots=True)
class RowRevision:
    """``changes`` are the rows as they become, with all columns of the lake. ``keeps_leaving``: rows that belong elsewhere
    stay on the day that is made, since their other day is not swapped yet."""

    changes: Callable[[SparkSession], DataFrame]
    keeps_leaving: bool = False

    def applied(self, session: SparkSession, rows: DataFrame, day: str) -> DataFrame:
        """The rows of a day without those that change, and with those that belong to it. A row that an earlier attempt has
        moved already is replaced by itself."""
        changes = self.changes(session)
        others = rows.join(changes.select(*POSITION), [*POSITION], "left_anti").select(*rows.columns)
        of_the_day = changes.where(F.col("event_date") == F.lit(date.fromisoformat(day)))
        return others.unionByName(as_table(of_the_day, lake_schema()).dropDuplicates([*POSITION]))

    def leaving(self, session: SparkSession, stored: DataFrame, day: str) -> DataFrame:
        """Of the rows that a generation of the day holds those that stay until their other day has them."""
        if not self.keeps_leaving:
            return stored.limit(0)
        elsewhere = self.changes(session).where(F.col("event_date") != F.lit(date.fromisoformat(day)))
        return stored.join(elsewhere.select(*POSITION), [*POSITION], "left_semi").select(*stored.columns)
