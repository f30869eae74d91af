"""Computes a plan's day with Spark and writes it under the plan's own prefixes: the engine of record.

Events are written first and read back, so that every aggregate is of what is stored. A plan that reads nothing new of its day
takes over the files that only depend on the day, and makes the sessions and what hangs on them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.identity import Resolution, resolve
from headrace_core.lake import Generation, LakeFile, LakeTable, Plan
from headrace_core.paths import lake_prefix
from headrace_core.tables import ALL_TABLES, USER_DAY, Table
from headrace_runtime.ports_store import ObjectInfo
from headrace_spark.day_rows import DayRows, read_files
from headrace_spark.driver import SparkDriver
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.funnels import Funnel
from headrace_spark.lake_files import LakeFiles
from headrace_spark.planning import LATER, neighbours_of
from headrace_spark.ports import Made, Suppressions
from headrace_spark.progress import Progress
from headrace_spark.revised_rows import RowRevision
from headrace_spark.transforms.cohorts import cohorts
from headrace_spark.transforms.finance import finance_daily
from headrace_spark.transforms.funnels import funnels
from headrace_spark.transforms.identity import with_customers
from headrace_spark.transforms.rollups import coarser, minutes, user_days
from headrace_spark.transforms.rows import as_table, day_start_us, lake_schema, table_schema, with_hour
from headrace_spark.transforms.sessions import in_sessions, sessions

__all__ = ["DayMaker", "SparkEngine"]

_OF_THE_DAY: tuple[LakeTable, ...] = (
    "events",
    "events_minute",
    "events_hour",
    "events_day",
    "user_day",
    "finance_daily",
)
"""Tables that follow from the day's own rows."""

_OF_THE_SESSIONS: tuple[LakeTable, ...] = ("sessions", "funnels")
"""Tables that follow from the rows of the neighbours too. Cohorts follow from the days before."""

_TABLES: dict[str, Table] = {table.name: table for table in ALL_TABLES}
_ALIASES = "user_key string, customer_id string"

Files = dict[LakeTable, tuple[LakeFile, ...]]


@dataclass(frozen=True, slots=True)
class SparkEngine:
    """`headrace_spark.ports.DayEngine`. ``revision`` is what a reprocess makes of stored rows."""

    spark: SparkDriver
    files: LakeFiles
    progress: Progress
    funnels: Sequence[Funnel]
    revision: RowRevision | None = None

    async def make(
        self, plan: Plan, generations: Mapping[str, Generation], edges: EdgeSnapshot, suppressed: Suppressions
    ) -> Made:
        """See `headrace_spark.ports.DayEngine`."""
        resolution = resolve(edges.records, edges.offset)
        return await DayMaker(self, plan, generations, resolution, suppressed).make()


class DayMaker:
    """Makes the day of one plan."""

    def __init__(
        self,
        engine: SparkEngine,
        plan: Plan,
        generations: Mapping[str, Generation],
        resolution: Resolution,
        suppressed: Suppressions,
    ) -> None:
        self._engine = engine
        self._plan = plan
        self._day = date.fromisoformat(plan.day.event_date)
        self._generations = generations
        self._aliases = [(row.user_key, row.customer_id) for row in resolution.aliases]
        self._rows = DayRows(plan, generations, suppressed, engine.files.address, engine.revision)
        self._written: dict[LakeTable, list[ObjectInfo]] = {}
        self._keys: dict[LakeTable, list[str]] = {}

    async def make(self) -> Made:
        """The files of every table, made now or taken over."""
        taken = _taken_over(self._plan, self._generations.get(self._plan.day.event_date))
        self._keys |= {table: [file.key for file in files] for table, files in taken.items()}
        counts: dict[str, int] = {}
        if "events" not in taken:
            counts |= await self._count()
            await self._write("events", self._events, partition_by=("hour",))
            await self._write_rollups()
        if "sessions" not in taken:
            await self._write_sessions()
        await self._write("cohorts", self._cohorts)
        tables = taken | await self._kept()
        counts |= {f"{table}_rows": sum(file.rows for file in files) for table, files in tables.items()}
        if "rows_in" in counts:
            counts["rows_removed"] = counts["rows_in"] - counts["rows_suppressed"] - counts["events_rows"]
        return Made(tables, counts)

    async def _count(self) -> dict[str, int]:
        """Rows that the plan knows of its day, how many of them the generation before has, and how many are suppressed."""
        before = self._generations.get(self._plan.day.event_date)
        with self._engine.progress.stage("count") as stage:
            known = await self._engine.spark.run(lambda session: self._rows.all_known(session).count())
            kept = known
            if self._rows.suppressed:
                kept = await self._engine.spark.run(lambda session: self._rows.known(session).count())
            stage.rows = known
        previous = sum(file.rows for file in before.files("events")) if before else 0
        return {"rows_in": known, "rows_previous": previous, "rows_suppressed": known - kept}

    async def _kept(self) -> Files:
        """Describe all that was written; a table without rows has no files."""
        with self._engine.progress.stage("digest"):
            files = await self._engine.files.keep(
                [info for infos in self._written.values() for info in infos]
            )
        by_key = {file.key: file for file in files}
        return {
            table: tuple(by_key[info.key] for info in infos if info.key in by_key)
            for table, infos in self._written.items()
        }

    def _events(self, session: SparkSession) -> DataFrame:
        return with_hour(as_table(self._resolved(session, self._rows.of_the_day(session)), lake_schema()))

    async def _write_rollups(self) -> None:
        await self._write("events_minute", lambda session: minutes(self._stored(session)))
        await self._write(
            "events_hour", lambda session: coarser(self._table(session, "events_minute"), "hour")
        )
        await self._write("events_day", lambda session: coarser(self._table(session, "events_hour"), "day"))
        await self._write("user_day", lambda session: user_days(self._stored(session)))
        await self._write("finance_daily", lambda session: finance_daily(self._stored(session)))

    async def _write_sessions(self) -> None:
        until_us = await self._read_until_us()

        def of_sessions(session: SparkSession) -> DataFrame:
            return in_sessions(self._rows.around(session, self._keys["events"]), self._day)

        def rows(session: SparkSession) -> DataFrame:
            found = sessions(of_sessions(session), self._day, read_until_us=until_us)
            # The customer is the user_key's as of this plan, whatever the rows of the neighbours say.
            return self._resolved(session, found)

        await self._write("sessions", rows)
        await self._write(
            "funnels", lambda session: funnels(of_sessions(session), self._day, self._engine.funnels)
        )

    async def _read_until_us(self) -> int:
        """Events before this time have been read: those up to the end of the day after once there are later ones."""
        if LATER in self._plan.seen:
            return day_start_us(self._day + timedelta(days=2))

        def latest_us(session: SparkSession) -> int:
            latest = (
                self._rows.around(session, self._keys["events"]).agg(F.max(F.unix_micros("event_ts"))).first()
            )
            return 0 if latest is None or latest[0] is None else int(latest[0])

        return await self._engine.spark.run(latest_us)

    def _cohorts(self, session: SparkSession) -> DataFrame:
        days = sorted(self._plan.earlier)
        earlier = [file.key for day in days for file in self._generations[day].files("user_day")]
        before = read_files(session, earlier, table_schema(USER_DAY), self._engine.files.address)
        return cohorts(self._table(session, "user_day"), before)

    def _resolved(self, session: SparkSession, rows: DataFrame) -> DataFrame:
        return with_customers(rows, session.createDataFrame(self._aliases, _ALIASES))

    def _stored(self, session: SparkSession) -> DataFrame:
        return self._rows.lake(session, self._keys["events"])

    def _table(self, session: SparkSession, table: LakeTable) -> DataFrame:
        schema = table_schema(_TABLES[table])
        return read_files(session, self._keys[table], schema, self._engine.files.address)

    async def _write(
        self,
        table: LakeTable,
        frame: Callable[[SparkSession], DataFrame],
        *,
        partition_by: Sequence[str] = (),
    ) -> None:
        prefix = lake_prefix(table, self._plan.day.event_date, self._plan.id.generation)
        with self._engine.progress.stage(table):
            rows = await self._engine.spark.run(frame)
            self._written[table] = await self._engine.files.put(prefix, rows, partition_by=partition_by)
        self._keys[table] = [info.key for info in self._written[table]]


def _taken_over(plan: Plan, before: Generation | None) -> Files:
    """The files of the generation before that the plan would only write again."""
    if before is None or plan.revises or plan.day.read or before.edges_offset != plan.edges_offset:
        return {}
    taken: Files = {table: before.files(table) for table in _OF_THE_DAY}
    beside = [*neighbours_of(plan.day.event_date), LATER]
    if all(before.seen.get(other) == plan.seen.get(other) for other in beside):
        taken |= {table: before.files(table) for table in _OF_THE_SESSIONS}
    return taken
