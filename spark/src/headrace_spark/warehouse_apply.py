"""The transaction of rule B3, step by step; `headrace_spark.warehouse_day` calls the steps in their order.

Each step is one await and holds one guard, so that a test can stop or break the job between any two of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from headrace_core.copies import Copy
from headrace_core.tables import LOAD_LOCK_EVENTS, USER_DAY, Table
from headrace_core.warehouse_sql import (
    COARSER,
    EXPIRED_DAYS,
    LOCK,
    recompute_minutes,
    recompute_user_days,
    recompute_user_first_seen,
    resum_given,
)
from headrace_runtime.warehouse import PostgresConnection
from headrace_spark import warehouse_aggregates_sql as aggregates_sql
from headrace_spark import warehouse_day_sql as sql
from headrace_spark.warehouse_difference import DayState, RowChanges, settle_day
from headrace_spark.warehouse_stage import ROLLUPS

__all__ = ["DayTransaction", "RowsApplied", "day_state"]


@dataclass(frozen=True, slots=True)
class RowsApplied:
    """Rows of the events table by what became of them; see DayApplied."""

    inserted: int
    deleted: int
    changed: int
    displaced: int
    present: int
    unchanged: int


async def day_state(connection: PostgresConnection, day: date) -> DayState:
    """The day's row of ops.day_generation."""
    found = await connection.execute(sql.DAY_STATE, [day])
    return DayState(*found[0]) if found else DayState()


class DayTransaction:
    """One transaction on the session that holds the staged generation of ``day``."""

    def __init__(self, connection: PostgresConnection, day: date) -> None:
        self._connection = connection
        self._day = day
        self._touched = 0

    async def begin(self) -> None:
        """Start a READ COMMITTED transaction: no snapshot may be older than the lock."""
        await self._connection.begin()

    async def lock(self) -> DayState:
        """Wait for the writer's lock of the events table; the day's state as committed when it was taken."""
        await self._connection.execute(LOCK, [LOAD_LOCK_EVENTS])
        return await day_state(self._connection, self._day)

    async def validate(self) -> int:
        """Compare again what was written, went away or was suppressed since; rows that were suppressed since."""
        suppressed = 0
        if (await self._connection.execute(sql.NEW_SUBJECTS))[0][0]:
            suppressed = await self._connection.count(sql.TAKE_OUT_SUPPRESSED)
        await self._connection.execute(sql.mark_stale(self._day))
        await self._connection.execute(sql.FORGET_STALE)
        await self._connection.execute(sql.compare(self._day, stale=True))
        return suppressed

    async def apply_rows(self) -> RowsApplied:
        """Delete, change and insert rows of the events table, and note what that touches."""
        actions: dict[str, int] = dict(await self._connection.execute(sql.COUNT_ACTIONS))
        deleted = await self._count(sql.remove_rows(self._day), actions.get("remove", 0))
        noted = await self._count(sql.note_changes(self._day), actions.get("change", 0))
        changed = await self._count(sql.change_rows(self._day), actions.get("change", 0))
        puts = actions.get("put", 0)
        await self._count(sql.NOTE_CANDIDATES, puts)
        present, displaced = await self._settle(puts)
        inserted = await self._count(sql.INSERT_CANDIDATES, puts - present)
        await self._count(sql.NOTE_INSERTED, inserted)
        self._touched = deleted + noted + displaced + inserted
        return RowsApplied(inserted, deleted, changed, displaced, present, actions.get("same", 0))

    async def follow(self) -> None:
        """Bring ledger, rollups, user_day and user_first_seen up to what apply_rows did (rule L4)."""
        if not self._touched:
            return
        await self._connection.execute("ANALYZE pg_temp.day_touched")
        await self._connection.execute(sql.MOVE_IN_LEDGER)
        rows = sql.rows_around(self._day)
        statements = recompute_minutes(sql.BUCKETS_TOUCHED, rows)
        for finer, coarser, unit in COARSER:
            statements += resum_given(finer, coarser, unit, sql.buckets_touched(unit))
        statements += recompute_user_days(sql.USER_DAYS_TOUCHED, rows)
        statements += recompute_user_first_seen(sql.USERS_TOUCHED)
        for statement in statements:
            await self._connection.execute(statement)

    async def replace_rollups(self) -> dict[str, RowChanges]:
        """On an expired day: make the rollups and user days what the generation and the late rows say (rule L4)."""
        await self._connection.execute(aggregates_sql.take_out_suppressed(USER_DAY))
        await self._connection.execute(aggregates_sql.late_minutes(self._day))
        for finer, coarser, unit in COARSER:
            await self._connection.execute(aggregates_sql.sum_due(finer, coarser, unit))
        await self._connection.execute(aggregates_sql.late_user_days(self._day))
        await self._connection.execute(aggregates_sql.note_users(self._day))
        changes = {table.name: await self._replace(table, aggregates_sql.due(table)) for table in ROLLUPS}
        for statement in recompute_user_first_seen(aggregates_sql.USERS_CHANGED):
            await self._connection.execute(statement)
        return changes

    async def replace_aggregates(self, tables: Collection[Table]) -> dict[str, RowChanges]:
        """Make the day's rows of ``tables`` those of the generation, suppressed subjects excluded."""
        changes = {}
        for table in tables:
            await self._connection.execute(aggregates_sql.take_out_suppressed(table))
            changes[table.name] = await self._replace(table, aggregates_sql.staged(table))
        return changes

    async def store(self, sequence: int) -> None:
        """Store the sequence of the generation that is now in."""
        await self._connection.execute(sql.STORE_SEQUENCE, [self._day, sequence])

    async def commit(self) -> None:
        """Commit; CommitUnknown where no reply came."""
        await self._connection.commit()

    async def rollback(self) -> None:
        """End the transaction without effect. Never raises."""
        await self._connection.rollback()

    async def _count(self, statement: str, expected: int) -> int:
        """Run a statement, unless it has nothing to do; the rows that it wrote."""
        return await self._connection.count(statement) if expected else 0

    async def _settle(self, candidates: int) -> tuple[int, int]:
        """Decide the candidates beside stored copies (rule L2): how many stay out, and how many copies left for others."""
        if not candidates:
            return 0, 0
        await self._connection.execute("ANALYZE pg_temp.day_candidates")
        beside = await self._connection.execute(sql.contested(self._day))
        staged = {row[0]: Copy(row[0], row[1], (row[2], row[3]), row[4]) for row in beside}
        stored = [Copy(row[0], row[5], (row[6], row[7]), row[8]) for row in beside]
        settlement = settle_day(staged.values(), stored, await self._frozen_days())
        if settlement.present:
            await self._connection.execute(sql.LEAVE_OUT, [[copy.dedup_id for copy in settlement.present]])
        if settlement.displaced:
            gone = settlement.displaced
            parameters = [[copy.dedup_id for copy in gone], [copy.event_date for copy in gone]]
            await self._connection.execute(sql.REMOVE_DISPLACED, parameters)
        return len(settlement.present), len(settlement.displaced)

    async def _frozen_days(self) -> set[date]:
        near = [self._day + timedelta(days=step) for step in (-1, 0, 1)]
        return {row[0] for row in await self._connection.execute(EXPIRED_DAYS, [near])}

    async def _replace(self, table: Table, source: Table) -> RowChanges:
        deleted = await self._connection.count(aggregates_sql.delete_gone(table, source, self._day))
        changed = await self._connection.count(aggregates_sql.update_changed(table, source, self._day))
        inserted = await self._connection.count(aggregates_sql.insert_new(table, source))
        return RowChanges(inserted, deleted, changed)
