"""Makes a day without the rows of suppressed subjects: only event files that hold any are written anew (rule E3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from headrace_core.identity import resolve
from headrace_core.lake import Generation, Plan
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.ports import EdgeSource, Made, Suppressions
from headrace_spark.spark_engine import DayMaker, SparkEngine
from headrace_spark.subject_rows import SparkSubjectRows, user_keys
from headrace_spark.suppression import without_suppressed
from headrace_spark.transforms.rows import as_table, lake_schema, with_hour

__all__ = ["EdgesOfOthers", "EraseEngine"]


@dataclass(frozen=True, slots=True)
class EdgesOfOthers:
    """`headrace_spark.ports.EdgeSource` without what it says of subjects, which a plan would keep for weeks.

    The offset is 0: rows that stay are not resolved anew, so the next daily of the day has to.
    """

    source: EdgeSource
    subjects: Suppressions

    async def read(self) -> EdgeSnapshot:
        """Edges of nobody who is a subject."""
        snapshot = await self.source.read()
        keys = user_keys(self.subjects)
        records = (record for record in snapshot.records if record.edge is not None)
        others = (
            record
            for record in records
            if record.edge is not None
            and record.edge.user_key not in keys
            and record.edge.customer_id not in self.subjects.customers
        )
        return EdgeSnapshot(tuple(others), 0)


@dataclass(frozen=True, slots=True)
class EraseEngine:
    """`headrace_spark.ports.DayEngine` of an erasure. Aggregates are made from what stays."""

    engine: SparkEngine
    rows: SparkSubjectRows

    async def make(
        self, plan: Plan, generations: Mapping[str, Generation], edges: EdgeSnapshot, suppressed: Suppressions
    ) -> Made:
        """See `headrace_spark.ports.DayEngine`. The plan reads no new files."""
        before = generations[plan.day.event_date]
        holding = await self.rows.holding(before, suppressed)
        maker = _Eraser(self.engine, plan, generations, resolve(edges.records), suppressed)
        return await maker.without(before, holding)


class _Eraser(DayMaker):
    async def without(self, before: Generation, holding: frozenset[str]) -> Made:
        """The day with the files of ``holding`` written anew."""
        kept = tuple(file for file in before.files("events") if file.key not in holding)

        def staying(session: SparkSession) -> DataFrame:
            rows = without_suppressed(self._rows.lake(session, sorted(holding)), self._rows.suppressed)
            return with_hour(as_table(rows, lake_schema()))

        await self._write("events", staying, partition_by=("hour",))
        self._keys["events"] += [file.key for file in kept]
        await self._write_rollups()
        await self._write_sessions()
        await self._write("cohorts", self._cohorts)
        tables = await self._kept()
        tables["events"] = (*kept, *tables["events"])
        counts = {f"{table}_rows": sum(file.rows for file in files) for table, files in tables.items()}
        counts["rows_erased"] = sum(file.rows for file in before.files("events")) - counts["events_rows"]
        return Made(tables, {**counts, "files_rewritten": len(holding)})
