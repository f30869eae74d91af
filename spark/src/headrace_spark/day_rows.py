"""The rows that a plan knows, as DataFrames: of its day and of the days beside it, each once, without suppressed subjects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from headrace_core.lake import DayInput, Generation, Plan
from headrace_spark.ports import Suppressions
from headrace_spark.revised_rows import RowRevision
from headrace_spark.suppression import without_suppressed
from headrace_spark.transforms.dedup import DEDUP_COLUMNS, deduplicate
from headrace_spark.transforms.rows import as_table, lake_schema, of_day, staged_schema, with_day

__all__ = ["DayRows", "read_files"]


def read_files(
    session: SparkSession, keys: Sequence[str], schema: StructType, address: Callable[[str], str]
) -> DataFrame:
    """The rows of exactly these objects; none of none."""
    if not keys:
        return session.createDataFrame([], schema)
    return session.read.schema(schema).parquet(*map(address, keys))


@dataclass(frozen=True, slots=True)
class DayRows:
    """``generations`` are those that the plan's pointers name, by day; ``address`` makes of a key what Spark reads. With a
    revision every day's rows are those that it leaves."""

    plan: Plan
    generations: Mapping[str, Generation]
    suppressed: Suppressions
    address: Callable[[str], str]
    revision: RowRevision | None = None

    def known(self, session: SparkSession, of: DayInput | None = None) -> DataFrame:
        """The rows of a day, of the plan's own by default, less those of suppressed subjects."""
        return without_suppressed(self.all_known(session, of), self.suppressed)

    def all_known(self, session: SparkSession, of: DayInput | None = None) -> DataFrame:
        """Every row of a day: of its generation, and of the files which that lacks."""
        of = self.plan.day if of is None else of
        rows = self._unrevised(session, of)
        return rows if self.revision is None else self.revision.applied(session, rows, of.event_date)

    def _unrevised(self, session: SparkSession, of: DayInput) -> DataFrame:
        stored = self._stored(session, of.event_date)
        if not of.read:
            return stored
        new = read_files(session, [file.key for file in of.read], staged_schema(), self.address)
        of_the_day = of_day(new, date.fromisoformat(of.event_date))
        return stored.unionByName(as_table(with_day(of_the_day), lake_schema()))

    def of_the_day(self, session: SparkSession) -> DataFrame:
        """The rows of the plan's day that stay (rule L2)."""
        rows = self._staying(session, self.plan.day)
        if self.revision is None:
            return rows
        day = self.plan.day.event_date
        leaving = self.revision.leaving(session, self._stored(session, day), day)
        return rows.unionByName(without_suppressed(leaving, self.suppressed))

    def _stored(self, session: SparkSession, day: str) -> DataFrame:
        generation = self.generations.get(day)
        return self.lake(session, [file.key for file in generation.files("events")] if generation else [])

    def around(self, session: SparkSession, of_the_day: Sequence[str]) -> DataFrame:
        """The day's rows as they were stored, with the rows that stay of the days which its sessions reach into."""
        last = str(date.fromisoformat(self.plan.day.event_date) + timedelta(days=1))
        reached = [other for other in self.plan.neighbours if other.event_date <= last]
        neighbours = (self._staying(session, other) for other in reached)
        return reduce(DataFrame.unionByName, neighbours, self.lake(session, of_the_day))

    def lake(self, session: SparkSession, keys: Sequence[str]) -> DataFrame:
        """The rows of these event files of a generation."""
        return read_files(session, keys, lake_schema(), self.address)

    def _staying(self, session: SparkSession, of: DayInput) -> DataFrame:
        """A neighbour without new files is its generation, which was decided already; the plan's own day never is."""
        rows = self.known(session, of)
        if of.read or of is self.plan.day:
            beside = (other for other in (self.plan.day, *self.plan.neighbours) if other is not of)
            copies = reduce(
                DataFrame.unionByName, (self.known(session, other).select(*DEDUP_COLUMNS) for other in beside)
            )
            rows = deduplicate(rows, copies, date.fromisoformat(of.event_date), strategy=self.plan.dedup)
        return rows
