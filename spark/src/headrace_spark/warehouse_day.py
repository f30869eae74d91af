"""Rule B3 on PostgreSQL: a day's generation into the warehouse, of which only the difference is written.

Outside the lock the generation goes into tables of the session, and is compared. Under the lock nothing of that is
trusted: rows written or gone since are compared again, then the difference goes in with all that follows from it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

from headrace_core.ddl import create_partition
from headrace_core.errors import Unavailable
from headrace_core.lake import Generation
from headrace_core.tables import (
    COHORTS,
    FINANCE_DAILY,
    FUNNELS,
    SESSIONS,
    SUPPRESSED_SUBJECTS,
    Table,
    events_partition,
)
from headrace_core.warehouse_sql import DDL_LOCK, MISSING_TABLES
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.warehouse import CommitUnknown, PostgresConnection
from headrace_spark.ports import Applied, Suppressions
from headrace_spark.warehouse_apply import DayTransaction, day_state
from headrace_spark.warehouse_difference import DayApplied, DayState, standing
from headrace_spark.warehouse_stage import DayStage

__all__ = ["AGGREGATES", "WarehouseDays"]

AGGREGATES = (SESSIONS, FUNNELS, COHORTS, FINANCE_DAILY)
"""Tables of which the warehouse holds just what the current generation of a day says."""


_SUPPRESSED = f"SELECT kind, value FROM {SUPPRESSED_SUBJECTS.full_name}"


class WarehouseDays:
    """The port `WarehouseDay` on PostgreSQL. Each application has a connection of its own, whose temporary tables go with it.

    ``statement_timeout_s`` bounds each statement, the comparison of a whole day among them; ``store_deadline_s`` each
    read of up to 8 MiB; a lock that another writer keeps is waited for up to the connection's lock timeout.
    """

    def __init__(
        self,
        dsn: str,
        store: ObjectStore,
        *,
        aggregates: Collection[Table] = AGGREGATES,
        folder: Path | None = None,
        statement_timeout_s: float = 900.0,
        store_deadline_s: float = 60.0,
    ) -> None:
        self._dsn = dsn
        self._store = store
        self._aggregates = tuple(aggregates)
        self._folder = folder
        self._statement_timeout_s = statement_timeout_s
        self._store_deadline_s = store_deadline_s

    async def suppressed(self) -> Suppressions:
        """The suppression list as it is now."""
        connection = await self._connect()
        try:
            found = await connection.execute(_SUPPRESSED)
        finally:
            await connection.close()
        kinds = ("user", "anonymous", "customer")
        return Suppressions(*(frozenset(value for kind, value in found if kind == each) for each in kinds))

    async def sequence(self, event_date: str) -> int:
        """The sequence of the generation that was applied last; 0 where none was."""
        connection = await self._connect()
        try:
            return (await day_state(connection, date.fromisoformat(event_date))).sequence or 0
        finally:
            await connection.close()

    async def apply(self, generation: Generation, sequence: int) -> Applied:
        """As apply_day, for people and the day's result."""
        applied = await self.apply_day(generation, sequence)
        return Applied(superseded=applied.outcome == "superseded", counts=applied.counts)

    async def apply_day(self, generation: Generation, sequence: int) -> DayApplied:
        """Apply the generation that the day's pointer names with ``sequence``; nothing where it, or a later one, is in.

        Raises Unavailable where calling again with the same generation can help, BadData where a file of the lake is not
        what the generation says, ConfigurationError where a person must change the warehouse.
        """
        day = date.fromisoformat(generation.event_date)
        connection = await self._connect()
        try:
            state = await day_state(connection, day)
            outcome = standing(state, sequence)
            if outcome is not None:
                return DayApplied(outcome, sequence)
            suppressed = await self._stage(connection, generation, day, state)
            transaction = self._transaction(connection, day)
            applied = await self._apply(transaction, sequence, state)
            applied = replace(applied, suppressed=applied.suppressed + suppressed)
            return await self._commit(transaction, applied, day)
        finally:
            await connection.close()

    def _transaction(self, connection: PostgresConnection, day: date) -> DayTransaction:
        """The steps of one transaction; a test may put its own in between."""
        return DayTransaction(connection, day)

    async def _connect(self) -> PostgresConnection:
        return await PostgresConnection.connect(
            self._dsn, application_name="headrace-day", statement_timeout_s=self._statement_timeout_s
        )

    async def _stage(
        self, connection: PostgresConnection, generation: Generation, day: date, state: DayState
    ) -> int:
        if generation.files("events") and not state.expired:
            await _create_partition(connection, day)
        stage = DayStage(
            connection,
            self._store,
            generation,
            store_deadline_s=self._store_deadline_s,
            folder=self._folder,
        )
        return await stage.load(self._aggregates, expired=state.expired)

    async def _apply(self, transaction: DayTransaction, sequence: int, staged: DayState) -> DayApplied:
        """All of the transaction but its end; it is rolled back where there is nothing to commit."""
        await transaction.begin()
        try:
            state = await transaction.lock()
            outcome = standing(state, sequence)
            if outcome is not None:
                await transaction.rollback()
                return DayApplied(outcome, sequence)
            if state.expired != staged.expired:
                raise _expired_meanwhile()
            applied = await self._write(transaction, sequence, expired=state.expired)
            await transaction.store(sequence)
        except BaseException:
            await transaction.rollback()
            raise
        return applied

    async def _write(self, transaction: DayTransaction, sequence: int, *, expired: bool) -> DayApplied:
        if expired:
            rollups = await transaction.replace_rollups()
            aggregates = await transaction.replace_aggregates(self._aggregates)
            return DayApplied("expired", sequence, aggregates={**rollups, **aggregates})
        suppressed = await transaction.validate()
        rows = await transaction.apply_rows()
        await transaction.follow()
        aggregates = await transaction.replace_aggregates(self._aggregates)
        return DayApplied("applied", sequence, suppressed=suppressed, aggregates=aggregates, **asdict(rows))

    async def _commit(self, transaction: DayTransaction, applied: DayApplied, day: date) -> DayApplied:
        if applied.outcome in {"present", "superseded"}:
            return applied
        try:
            await transaction.commit()
        except CommitUnknown as error:
            return await self._settled(applied, day, error)
        return applied

    async def _settled(self, applied: DayApplied, day: date, error: CommitUnknown) -> DayApplied:
        """What became of a COMMIT without a reply: the sequence, read under the lock, says it."""
        connection = await self._connect()
        try:
            transaction = self._transaction(connection, day)
            await transaction.begin()
            outcome = standing(await transaction.lock(), applied.sequence)
            await transaction.rollback()
        finally:
            await connection.close()
        if outcome is None:
            raise error
        return applied if outcome == "present" else DayApplied(outcome, applied.sequence)


async def _create_partition(connection: PostgresConnection, day: date) -> None:
    """Make the day's partition of events if it is missing, under the lock that the loader takes for the same."""
    name = events_partition(day)
    if not await connection.execute(MISSING_TABLES, [[name]]):
        return
    await connection.begin()
    try:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [DDL_LOCK])
        if await connection.execute(MISSING_TABLES, [[name]]):
            for statement in create_partition(day):
                await connection.execute(statement)
    except BaseException:
        await connection.rollback()
        raise
    await connection.commit()


def _expired_meanwhile() -> Unavailable:
    return Unavailable(
        "The day's rows expired, or came back, while the generation was compared.",
        why="The mark in ops.day_generation is another one than before the lock.",
        fix="Nothing to do: the day is tried again.",
        code="day_expired_meanwhile",
    )
