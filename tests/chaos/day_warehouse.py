"""Rule B3 under the adversary: the project's procedure and decisions over sessions that break between any two steps.

`SimulatedDays` is `headrace_spark.warehouse_day.WarehouseDays` with another connection and another transaction; what
decides whether a generation is applied, which rows go in, and what became of a lost COMMIT reply is the project's code.
The comparison of rows, which is SQL there, is plain Python here, with the same guards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from tests.chaos.day_engine import DayFiles
from tests.chaos.day_rows import Values, copy_of, is_of
from tests.chaos.guards import Guard
from tests.chaos.processes import DECISIVE, Turns
from tests.chaos.warehouse import DayCommit, SimulatedWarehouse, first_wins

from headrace_core.copies import Copy, Settlement
from headrace_core.errors import Unavailable
from headrace_core.keys import file_id
from headrace_core.lake import Generation
from headrace_core.tables import Table
from headrace_loader.memory_warehouse import Row
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse import CommitUnknown
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.warehouse import PostgresConnection
from headrace_spark import warehouse_day_sql
from headrace_spark.ports import Suppressions
from headrace_spark.warehouse_apply import DayTransaction, RowsApplied
from headrace_spark.warehouse_day import WarehouseDays
from headrace_spark.warehouse_difference import DayState, RowChanges, settle_day

__all__ = ["DaySession", "SimulatedDays", "SimulatedSubjects"]

_KINDS: tuple[Literal["user", "anonymous", "customer"], ...] = ("user", "anonymous", "customer")


@dataclass(slots=True)
class _Changes:
    """What an open transaction will do at its commit."""

    removed: list[Row] = field(default_factory=list)
    inserted: list[Row] = field(default_factory=list)
    sequence: int | None = None


class DaySession(PostgresConnection):
    """One connection of a batch job. Every step waits for its turn, and may find the connection broken."""

    def __init__(self, warehouse: SimulatedWarehouse, turns: Turns) -> None:
        self._warehouse, self._turns = warehouse, turns
        self._broken = self._commit_sent = False
        self.changes: _Changes | None = None
        self.generation: Generation | None = None
        self.contains: frozenset[int] = frozenset()
        self.rows: dict[str, Values] = {}
        """The generation's rows by dedup id: the stage table."""
        self.seen: dict[str, Row | None] = {}
        """By dedup id the row of the day that it was compared with."""
        self.suppressed = Suppressions()

    @property
    def open(self) -> _Changes:
        """The transaction's changes."""
        assert self.changes is not None
        return self.changes

    def lose_client(self) -> None:
        """The client died or the connection broke: what is open stays open until the server notices."""
        if not self._broken:
            self._broken = True
            if self.changes is not None:
                self._warehouse.outlived.append(self)

    def end(self, carry_out: bool) -> None:
        """The server's end of the transaction."""
        if carry_out and self._commit_sent and self.changes is not None:
            self._carry_out()
        else:
            self._abandon()

    def _abandon(self) -> None:
        self.changes = None
        if self._warehouse.lock_holder is self:
            self._warehouse.lock_holder = None

    def _carry_out(self) -> None:
        warehouse, changes = self._warehouse, self.open
        gone = {id(row) for row in changes.removed}
        warehouse.rows = [row for row in warehouse.rows if id(row) not in gone] + changes.inserted
        warehouse.rollups = Rollups.of([row.values for row in warehouse.rows])
        warehouse.count_moved(changes.removed, changes.inserted, self.suppressed)
        day = None
        if self.generation is not None:
            day = date.fromisoformat(self.generation.event_date)
            if changes.sequence is not None:
                warehouse.day_sequences[day] = changes.sequence
        warehouse.day_commits.append(
            DayCommit(
                day,
                changes.sequence,
                self.contains,
                tuple(changes.removed),
                tuple(changes.inserted),
                self.suppressed,
                tuple(map(copy_of, self.rows.values())),
            )
        )
        warehouse.commits += 1
        self._abandon()

    async def step(self, *, decisive: float = 0.0) -> None:
        """The turn before anything happens."""
        await self._turns.turn(decisive=decisive)
        if self._broken:
            raise self._lost()
        if not self._warehouse.calm and self._warehouse.rng.random() < 0.006:
            self.lose_client()
            raise self._lost()

    @staticmethod
    def _lost() -> Unavailable:
        return Unavailable("The connection broke.", why="the adversary", fix="try again", code="lost")

    async def execute(self, statement: Any, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Answers the two questions that the project's procedure asks by itself."""
        await self.step()
        if statement == warehouse_day_sql.DAY_STATE:
            sequence = self._warehouse.day_sequences.get(parameters[0])
            return [] if sequence is None else [(sequence, parameters[0] in self._warehouse.expired_days)]
        assert "suppressed_subjects" in statement
        return sorted(self._warehouse.suppressed)

    async def begin(self) -> None:
        """Start a transaction."""
        await self.step(decisive=DECISIVE)
        self._commit_sent = False
        self.changes = _Changes()

    async def lock(self) -> None:
        """Wait until no other session holds the lock."""
        await self.step()
        while self._warehouse.lock_holder not in (None, self):
            self._turns.is_blocked = True
            await self._turns.turn()
            if self._broken:
                raise self._lost()
        self._warehouse.lock_holder = self

    async def commit(self) -> None:
        """The reply may get lost, before or after the server acted, or the server may act much later."""
        await self.step()
        self._commit_sent = True
        chance = 1.0 if self._warehouse.calm else self._warehouse.rng.random()
        if chance >= 0.2:
            self._carry_out()
            return
        if chance < 0.07:
            self._carry_out()
        elif chance < 0.13:
            self._abandon()
        self.lose_client()
        raise CommitUnknown("No answer to COMMIT.", why="the adversary", fix="read it", code="commit_unknown")

    async def rollback(self) -> None:
        """End the transaction without effect."""
        if not self._broken:
            self._abandon()

    async def close(self) -> None:
        """End the session."""
        if not self._broken:
            self._abandon()
            self._broken = True


def _listed(subjects: Iterable[tuple[str, str]]) -> Suppressions:
    found = set(subjects)
    return Suppressions(*(frozenset(value for kind, value in found if kind == each) for each in _KINDS))


class _Transaction(DayTransaction):
    """The steps of B3's transaction, each with one guard."""

    def __init__(self, session: DaySession, day: date, warehouse: SimulatedWarehouse) -> None:
        super().__init__(session, day)
        self._session, self._warehouse = session, warehouse
        self._without = warehouse.without

    async def lock(self) -> DayState:
        if Guard.DAY_LOCK_FIRST not in self._without:
            await self._session.lock()
        found = await self._session.execute(warehouse_day_sql.DAY_STATE, [self._day])
        if Guard.POINTER_SEQUENCE in self._without:
            return DayState(None, bool(found and found[0][1]))
        return DayState(*found[0]) if found else DayState()

    async def validate(self) -> int:
        await self._session.step()
        session = self._session
        session.suppressed = _listed(self._warehouse.suppressed)
        before = len(session.rows)
        if Guard.SECOND_EXCLUSION not in self._without:
            session.rows = {
                key: row for key, row in session.rows.items() if not is_of(row, session.suppressed)
            }
        compare(session, self._warehouse)
        return before - len(session.rows)

    async def apply_rows(self) -> RowsApplied:
        await self._session.step()
        session, changes = self._session, self._session.open
        stored = self._warehouse.rows
        there = {id(row) for row in stored}
        gone = [row for key, row in session.seen.items() if row is not None and key not in session.rows]
        candidates, changed, same = [], 0, 0
        for key, values in session.rows.items():
            row = session.seen.get(key)
            if row is None:
                candidates.append(Row(copy_of(values), values, 0))
            elif row.values != values and id(row) in there:
                changed += 1
                changes.removed.append(row)
                changes.inserted.append(Row(copy_of(values), values, 0))
            else:
                same += 1
        changes.removed += gone
        leaving = {id(row) for row in changes.removed}
        settlement = self._beside(candidates, [row.copy for row in stored if id(row) not in leaving])
        absent = {id(copy) for copy in settlement.absent}
        displaced = {id(copy) for copy in settlement.displaced}
        changes.inserted += [row for row in candidates if id(row.copy) in absent]
        changes.removed += [row for row in stored if id(row.copy) in displaced]
        return RowsApplied(len(absent), len(gone), changed, len(displaced), len(settlement.present), same)

    def _beside(self, candidates: Collection[Row], stored: Collection[Copy]) -> Settlement:
        staged = [row.copy for row in candidates]
        near = {copy.dedup_id for copy in staged}
        beside = [
            copy for copy in stored if copy.dedup_id in near and abs((copy.event_date - self._day).days) <= 1
        ]
        if Guard.LOWEST_IN_DIFFERENCE in self._without:
            return first_wins(staged, beside)
        return settle_day(staged, beside, self._warehouse.expired_days)

    async def follow(self) -> None:
        await self._session.step()

    async def replace_aggregates(self, tables: Collection[Table]) -> dict[str, RowChanges]:
        return {}

    async def store(self, sequence: int) -> None:
        await self._session.step()
        self._session.open.sequence = sequence


def compare(session: DaySession, warehouse: SimulatedWarehouse) -> None:
    """Pair the generation's rows with those of the day whose file it contains."""
    assert session.generation is not None
    day = date.fromisoformat(session.generation.event_date)
    every = Guard.DIFFERENCE_BY_FILE in warehouse.without
    session.seen = {
        row.copy.dedup_id: row
        for row in warehouse.rows
        if row.copy.event_date == day and (every or row.copy.file_id in session.contains)
    }


class SimulatedDays(WarehouseDays):
    """`headrace_spark.ports.WarehouseDay` for one process; ``opened`` are its connections."""

    def __init__(
        self, warehouse: SimulatedWarehouse, store: ObjectStore, files: DayFiles, turns: Turns
    ) -> None:
        super().__init__("", store, aggregates=())
        self._warehouse, self._files, self._turns = warehouse, files, turns
        self.opened: list[DaySession] = []

    def list_now(self) -> Suppressions:
        """The suppression list as committed now."""
        return _listed(self._warehouse.suppressed)

    async def _connect(self) -> DaySession:
        session = DaySession(self._warehouse, self._turns)
        self.opened.append(session)
        return session

    def _transaction(self, connection: PostgresConnection, day: date) -> DayTransaction:
        assert isinstance(connection, DaySession)
        return _Transaction(connection, day, self._warehouse)

    async def _stage(
        self, connection: PostgresConnection, generation: Generation, day: date, state: DayState
    ) -> int:
        """The generation into the session, compared with the warehouse outside the lock."""
        assert isinstance(connection, DaySession)
        await connection.step()
        connection.generation = generation
        connection.contains = frozenset(map(file_id, generation.contains))
        rows = self._files.table(generation, "events")
        connection.rows = {row["dedup_id"]: row for row in rows}
        await connection.step()
        compare(connection, self._warehouse)
        return 0


class SimulatedSubjects:
    """`headrace_spark.ports.WarehouseSubjects` for one process."""

    def __init__(self, days: SimulatedDays, warehouse: SimulatedWarehouse) -> None:
        self._days, self._warehouse = days, warehouse

    async def suppress(self, subjects: Suppressions) -> None:
        """See `WarehouseSubjects`: a transaction of its own, its commit seen at once or not at all."""
        session = await self._days._connect()
        await session.step()
        kinds = zip(_KINDS, (subjects.users, subjects.anonymous, subjects.customers), strict=True)
        self._warehouse.suppressed |= {(kind, value) for kind, values in kinds for value in values}
        await session.close()

    async def delete(self, subjects: Suppressions) -> Mapping[str, int]:
        """See `WarehouseSubjects`."""
        session = await self._days._connect()
        try:
            await session.begin()
            if Guard.ERASURE_LOCK not in self._warehouse.without:
                await session.lock()
            await session.step()
            session.suppressed = subjects
            session.open.removed = [row for row in self._warehouse.rows if is_of(row.values, subjects)]
            await session.commit()
        finally:
            await session.close()
        return {"events": 0}
