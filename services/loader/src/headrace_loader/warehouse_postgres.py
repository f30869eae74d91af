"""The warehouse on PostgreSQL.

The stage table takes what decides about a row and what rollups are made of. Once it is decided which rows are absent,
the files' full rows go straight into the events table, in the same transaction and by the same COPY: a wide row is
written once (ADR 0008).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from headrace_core.copies import Copy, Settlement, settle
from headrace_core.ddl import create_partition, create_stage_table
from headrace_core.errors import BadData, Unavailable
from headrace_core.tables import EVENTS, LOAD_LOCK_EVENTS, Table, events_partition, stage_table
from headrace_core.warehouse_sql import (
    COARSER,
    DDL_LOCK,
    EXPIRED_DAYS,
    LOCK,
    MISSING_TABLES,
    copy_into,
    recompute_minutes,
    recompute_user_days,
    recompute_user_first_seen,
    resum_given,
)
from headrace_loader import warehouse_ledger_sql as ledger_sql
from headrace_loader import warehouse_sql as sql
from headrace_loader.load_files import CheckedFile
from headrace_loader.warehouse import FileCounts, Insertion, LedgerEntry, SetAside, WarehouseSession
from headrace_loader.warehouse_copy import events_stream, stage_stream
from headrace_runtime.warehouse import PostgresConnection

__all__ = ["PostgresSession", "PostgresWarehouse"]

_DAYS_PROBED_ALONE = 8
"""Up to so many days the stage table is read once for each; a batch of more days is read once for all."""


class PostgresWarehouse:
    """Opens sessions for the worker in ``slot``; one more connection answers discovery."""

    def __init__(
        self, dsn: str, *, slot: int = 0, rollups: bool = True, statement_timeout_s: float = 300.0
    ) -> None:
        self._dsn = dsn
        self._slot = slot
        self._rollups = rollups
        self._statement_timeout_s = statement_timeout_s
        self._reader: PostgresConnection | None = None

    async def connect(self) -> PostgresConnection:
        """A connection with the loader's deadlines."""
        return await PostgresConnection.connect(
            self._dsn,
            application_name=f"headrace-load-{self._slot}",
            statement_timeout_s=self._statement_timeout_s,
        )

    async def session(self) -> WarehouseSession:
        """A new session on a connection of its own."""
        return PostgresSession(await self.connect(), stage_table(self._slot), rollups=self._rollups)

    async def loaded_up_to(self) -> dict[int, int]:
        """Per partition the start of the last manifest with a loaded or set-aside file."""
        return dict(await self._read(ledger_sql.LOADED_UP_TO))

    async def settled_files(self, file_ids: Collection[int]) -> set[int]:
        """Those that are loaded, or set aside and not released."""
        wanted = list(file_ids)
        return {row[0] for row in await self._read(ledger_sql.SETTLED, [wanted, wanted])}

    async def released_positions(self) -> list[tuple[int, int]]:
        """(partition, start) of manifests with released files."""
        return [(row[0], row[1]) for row in await self._read(ledger_sql.RELEASED)]

    async def release(self, keys: Sequence[str], *, everything: bool = False) -> int:
        """Let set-aside files be tried again; how many there were."""
        connection = await self.connect()
        try:
            return await connection.count(ledger_sql.RELEASE_FILES, [list(keys), everything])
        finally:
            await connection.close()

    async def close(self) -> None:
        """Close the reader's connection."""
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    async def _read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._reader is None or self._reader.closed:
            self._reader = await self.connect()
        try:
            return await self._reader.execute(statement, parameters)
        except Unavailable:
            await self.close()
            raise


@dataclass(slots=True)
class _Transaction:
    """What one transaction remembers between its steps."""

    files: list[CheckedFile] = field(default_factory=list)
    displaced: list[tuple[Any, ...]] = field(default_factory=list)
    """Of each displaced row its minute bucket (start and dimensions), event date and user key."""

    @property
    def days(self) -> set[date]:
        """Event dates of the staged rows."""
        return {day for file in self.files for day in file.days}


class PostgresSession:
    """One connection of one worker, with its permanent stage table."""

    def __init__(self, connection: PostgresConnection, stage: Table, *, rollups: bool = True) -> None:
        self._connection = connection
        self._stage = stage
        self._rollups = rollups
        self._transaction = _Transaction()

    @property
    def backend_pid(self) -> int:
        """Process id of the server's side."""
        return self._connection.backend_pid

    async def prepare(self, files: Sequence[CheckedFile]) -> None:
        """Missing partitions, and an empty stage table of the right shape."""
        days = {day for file in files for day in file.days}
        names = {events_partition(day): day for day in days}
        if await self._missing(names) or not await self._stage_fits():
            await self._create(names)
        await self._connection.execute(f"TRUNCATE {self._stage.full_name}")

    async def begin(self) -> None:
        """Start a READ COMMITTED transaction."""
        self._transaction = _Transaction()
        await self._connection.begin()

    async def lock(self) -> None:
        """Lock the row that stands for the events table."""
        await self._connection.execute(LOCK, [LOAD_LOCK_EVENTS])

    async def ledger_of(self, file_ids: Collection[int]) -> dict[int, LedgerEntry]:
        """The ledger's entries of these files."""
        rows = await self._connection.execute(ledger_sql.LEDGER_OF, [list(file_ids)])
        return {row[0]: _entry(row) for row in rows}

    async def copy(self, file: CheckedFile) -> None:
        """Take note of a file: all go to the stage table in one stream, once the last one is known."""
        self._transaction.files.append(file)

    async def staged_rows(self) -> dict[int, int]:
        """Copy the deciding columns of the files; rows of the whole stage table by file id."""
        contents = (file.content for file in self._transaction.files)
        await self._connection.copy_in(copy_into(self._stage), stage_stream(contents, self._stage))
        return dict(await self._connection.execute(sql.staged_rows(self._stage)))

    async def insert_absent(self, *, loaded_us: int) -> Insertion:
        """Decide by the stage table, then copy the absent rows of each file into the events table."""
        suppressed = await self._take_out_suppressed()
        settlement, rows = await self._settle()
        present = [rows[id(copy)] for copy in settlement.present]
        await self._leave_out(present)
        await self._remove(settlement.displaced)
        counts, parts = {}, []
        for file in self._transaction.files:
            gone = [
                [row for file_id, row in group if file_id == file.file_id] for group in (suppressed, present)
            ]
            parts.append((file.content, frozenset(gone[0] + gone[1])))
            absent = file.rows - len(gone[0]) - len(gone[1])
            counts[file.file_id] = FileCounts(absent, len(gone[1]), len(gone[0]))
        # All files in one stream: the next one is decoded while the server still takes the last one.
        inserted = await self._connection.copy_in(
            copy_into(EVENTS), events_stream(parts, loaded_us=loaded_us)
        )
        _check_inserted(inserted, sum(each.inserted for each in counts.values()))
        displaced: dict[int, int] = {}
        for copy in settlement.displaced:
            displaced[copy.file_id] = displaced.get(copy.file_id, 0) + 1
        return Insertion(counts, displaced)

    async def add_rollups(self) -> None:
        """Add what the stage table still holds; recompute what displaced rows had touched."""
        if not self._rollups:
            return
        await self._connection.execute(sql.add_minutes(self._stage))
        for finer, coarser, unit in COARSER:
            await self._connection.execute(sql.resum(self._stage, finer, coarser, unit))
        await self._connection.execute(sql.add_user_days(self._stage))
        await self._connection.execute(sql.add_user_first_seen(self._stage))
        if self._transaction.displaced:
            await self._correct(self._transaction.displaced)

    async def record(self, entries: Sequence[LedgerEntry], insertion: Insertion) -> None:
        """Write the ledger."""
        for entry in entries:
            await self._connection.execute(ledger_sql.INSERT_LEDGER, _ledger_row(entry))
        if insertion.displaced:
            moved = [list(insertion.displaced.keys()), list(insertion.displaced.values())]
            await self._connection.execute(ledger_sql.MOVE_DISPLACED, moved)
        await self._connection.execute(ledger_sql.FORGET_ERRORS, [[entry.file_id for entry in entries]])

    async def set_aside(self, entries: Sequence[SetAside]) -> None:
        """Write load errors."""
        for each in entries:
            at, released = _time(each.at_us), None
            row = [
                each.file_id,
                each.key,
                each.partition,
                each.chain_start,
                each.rows,
                each.code,
                each.message,
            ]
            await self._connection.execute(ledger_sql.SET_ASIDE, [*row, at, released])

    async def commit(self) -> None:
        """Commit."""
        await self._connection.commit()

    async def rollback(self) -> None:
        """Roll back."""
        await self._connection.rollback()

    async def close(self) -> None:
        """Close the connection; the server ends what is open."""
        await self._connection.close()

    async def _create(self, names: Mapping[str, date]) -> None:
        """Make what is missing, in one transaction and under a lock: another worker may be about to make the same."""
        await self._connection.begin()
        try:
            await self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [DDL_LOCK])
            for name in await self._missing(names):
                for statement in create_partition(names[name]):
                    await self._connection.execute(statement)
            if not await self._stage_fits():
                await self._connection.execute(f"DROP TABLE IF EXISTS {self._stage.full_name}")
                await self._connection.execute(create_stage_table(self._stage))
        except BaseException:
            await self._connection.rollback()
            raise
        await self._connection.commit()

    async def _stage_fits(self) -> bool:
        """Whether the stage table is there and has the columns that this code knows."""
        names = [self._stage.schema, self._stage.name]
        found = await self._connection.execute(ledger_sql.STAGE_COLUMNS, names)
        return tuple(row[0] for row in found) == self._stage.column_names

    async def _missing(self, names: Collection[str]) -> list[str]:
        return sorted(row[0] for row in await self._connection.execute(MISSING_TABLES, [list(names)]))

    async def _take_out_suppressed(self) -> list[tuple[int, int]]:
        """(file id, row number) of the rows of suppressed subjects, which leave the stage table."""
        if not (await self._connection.execute(ledger_sql.ANY_SUPPRESSED))[0][0]:
            return []
        rows = await self._connection.execute(sql.take_out_suppressed(self._stage))
        return [(row[0], row[1]) for row in rows]

    async def _settle(self) -> tuple[Settlement, dict[int, tuple[int, int]]]:
        """Decide the contested rows; (file id, row number) by the identity of a staged Copy."""
        near = sorted({day + timedelta(days=step) for day in self._transaction.days for step in (-1, 0, 1)})
        contested = await self._connection.execute(sql.repeated_in_batch(self._stage))
        beside = await self._stored_near(near)
        staged = {
            (row[4], row[5]): Copy(row[0], row[1], (row[2], row[3]), row[4]) for row in [*contested, *beside]
        }
        stored = {(row[0], row[6]): Copy(row[0], row[6], (row[7], row[8]), row[9]) for row in beside}
        expired = {row[0] for row in await self._connection.execute(EXPIRED_DAYS, [near])}
        rows = {id(copy): place for place, copy in staged.items()}
        return settle(staged.values(), stored.values(), expired), rows

    async def _stored_near(self, near: Sequence[date]) -> list[tuple[Any, ...]]:
        """Staged rows beside the copies in the table within a day; days without a row cost nothing."""
        missing = set(await self._missing([events_partition(day) for day in near]))
        existing = [day for day in near if events_partition(day) not in missing]
        if not existing:
            return []
        days = [row[0] for row in await self._connection.execute(ledger_sql.days_with_rows(existing))]
        if not days:
            return []
        if len(days) > _DAYS_PROBED_ALONE:
            return await self._connection.execute(sql.stored_near(self._stage), [days])
        found = [await self._connection.execute(sql.stored_on(self._stage, day)) for day in days]
        return [row for rows in found for row in rows]

    async def _leave_out(self, places: Sequence[tuple[int, int]]) -> None:
        if places:
            parameters = [[file_id for file_id, _ in places], [row for _, row in places]]
            await self._connection.execute(sql.leave_out(self._stage), parameters)

    async def _remove(self, displaced: Sequence[Copy]) -> None:
        if displaced:
            parameters = [[copy.dedup_id for copy in displaced], [copy.event_date for copy in displaced]]
            self._transaction.displaced = await self._connection.execute(sql.remove_displaced(), parameters)

    async def _correct(self, displaced: Sequence[tuple[Any, ...]]) -> None:
        starts, sources, types, names, currencies, days, users = (
            list(column) for column in zip(*displaced, strict=True)
        )
        dimensions = [sources, types, names, currencies]
        for statement in recompute_minutes():
            await self._connection.execute(statement, [starts, *dimensions])
        for finer, coarser, unit in COARSER:
            coarse = [_start_of(unit, start) for start in starts]
            for statement in resum_given(finer, coarser, unit):
                await self._connection.execute(statement, [coarse, *dimensions])
        for statement in recompute_user_days():
            await self._connection.execute(statement, [days, users, sources])
        for statement in recompute_user_first_seen():
            await self._connection.execute(statement, [sorted(set(users))])


def _start_of(unit: str, start: datetime) -> datetime:
    return start.replace(minute=0) if unit == "hour" else start.replace(hour=0, minute=0)


def _check_inserted(inserted: int, decided: int) -> None:
    if inserted != decided:
        raise BadData(
            "The events table took another number of rows than was decided.",
            why=f"It took {inserted} instead of {decided}.",
            code="file_rows_differ",
        )


def _time(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _entry(row: Sequence[Any]) -> LedgerEntry:
    return LedgerEntry(
        file_id=row[0],
        key=row[1],
        partition=row[2],
        chain_start=row[3],
        chain_end=row[4],
        rows=row[5],
        inserted=row[6],
        present=row[7],
        suppressed=row[8],
        min_received_us=None if row[9] is None else _micros(row[9]),
        max_received_us=None if row[10] is None else _micros(row[10]),
        schema_version=row[11],
        loaded_us=_micros(row[12]),
        writer=row[13],
    )


def _ledger_row(entry: LedgerEntry) -> list[Any]:
    """Values in the order of LOAD_LEDGER's columns, which is that of the entry's fields."""
    times = {"min_received_us", "max_received_us", "loaded_us"}
    values = [(name, getattr(entry, name)) for name in entry.__struct_fields__]
    return [_time(value) if name in times and value is not None else value for name, value in values]
