"""A warehouse in memory: the reference for the contract suite, and the one that a simulator drives.

Like Redshift it enforces no unique key, so that a missing guard shows. A transaction keeps its changes apart until it is
committed; reads see what was committed at their moment (READ COMMITTED) plus the transaction's own changes. Every guard
of rule L1 and L2 is one method that a test may override.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_core.copies import Copy, Settlement, settle
from headrace_core.errors import BadData
from headrace_loader.load_files import CheckedFile
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse import FileCounts, Insertion, LedgerEntry, SetAside, WarehouseSession

__all__ = ["MemorySession", "MemoryWarehouse", "Row", "Subject"]

Subject = tuple[str, str]
"""A suppressed subject: kind (user, anonymous, customer) and value."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A row of analytics.events: what decides about it, and all its values by column name."""

    copy: Copy
    values: dict[str, Any]
    loaded_us: int

    @property
    def subjects(self) -> set[Subject]:
        """The subjects whose suppression takes this row out."""
        named = {"user": "user_id", "anonymous": "anonymous_id", "customer": "customer_id"}
        return {
            (kind, self.values[column]) for kind, column in named.items() if self.values[column] is not None
        }


async def _yield_to_others() -> None:
    await asyncio.sleep(0)


class MemoryWarehouse:
    """Committed state. ``wait`` is awaited while the lock is held by another session."""

    def __init__(self, wait: Callable[[], Awaitable[None]] = _yield_to_others) -> None:
        self.wait = wait
        self.rows: list[Row] = []
        self.rollups = Rollups()
        self.ledger: dict[int, LedgerEntry] = {}
        self.errors: dict[int, SetAside] = {}
        self.released: set[int] = set()
        self.suppressed: set[Subject] = set()
        self.expired_days: set[date] = set()
        self.stage_tables: dict[str, list[Row]] = {}
        self.lock_holder: object | None = None
        """The session that holds it: a loader's, or in the chaos tests a batch job's."""

    async def session(self, slot: str = "0") -> WarehouseSession:
        """A session of the worker in ``slot``; workers of one slot share a stage table."""
        return MemorySession(self, slot)

    async def loaded_up_to(self) -> dict[int, int]:
        """Per partition the start of the last manifest with a loaded or set-aside file."""
        starts: dict[int, int] = {}
        settled: list[LedgerEntry | SetAside] = [*self.ledger.values(), *self.errors.values()]
        for entry in settled:
            starts[entry.partition] = max(starts.get(entry.partition, 0), entry.chain_start)
        return starts

    async def settled_files(self, file_ids: Collection[int]) -> set[int]:
        """Those that are loaded, or set aside and not released."""
        return {
            each for each in file_ids if each in self.ledger or each in self.errors.keys() - self.released
        }

    async def released_positions(self) -> list[tuple[int, int]]:
        """(partition, start) of manifests with released files."""
        return sorted(
            {(self.errors[each].partition, self.errors[each].chain_start) for each in self.released}
        )

    def expire(self, day: date) -> None:
        """Drop the rows of a day, as the expiry job does: aggregates stay, the day is marked."""
        self.rows = [row for row in self.rows if row.copy.event_date != day]
        self.expired_days.add(day)


@dataclass(slots=True)
class _Changes:
    """What an open transaction will do at its commit."""

    rows: list[Row] = field(default_factory=list)
    displaced: list[Row] = field(default_factory=list)
    ledger: dict[int, LedgerEntry] = field(default_factory=dict)
    errors: dict[int, SetAside] = field(default_factory=dict)
    staged: list[Row] = field(default_factory=list)
    rollups: bool = False


class MemorySession:
    """One connection. ``abandon`` is what the server does when its client dies."""

    def __init__(self, warehouse: MemoryWarehouse, slot: str) -> None:
        self._warehouse = warehouse
        self._slot = slot
        self._changes: _Changes | None = None

    @property
    def _open(self) -> _Changes:
        if self._changes is None:
            raise AssertionError("the session has no transaction")
        return self._changes

    async def prepare(self, files: Sequence[CheckedFile]) -> None:
        """Empty the stage table; days need nothing here."""
        self._warehouse.stage_tables[self._slot] = []

    async def begin(self) -> None:
        """Start a transaction."""
        self._changes = _Changes()

    async def lock(self) -> None:
        """Wait until no other session holds the lock."""
        while self._warehouse.lock_holder not in (None, self):
            await self._warehouse.wait()
        self._warehouse.lock_holder = self

    async def ledger_of(self, file_ids: Collection[int]) -> dict[int, LedgerEntry]:
        """The committed entries."""
        return {each: self._warehouse.ledger[each] for each in file_ids if each in self._warehouse.ledger}

    async def copy(self, file: CheckedFile) -> None:
        """Decode the file into the stage table."""
        try:
            table = pq.ParquetFile(pa.BufferReader(file.content)).read(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise BadData(
                "A staged file cannot be decoded.", why=str(error), code="file_unreadable"
            ) from error
        self._open.staged.extend(_row(values) for values in table.to_pylist())

    async def staged_rows(self) -> dict[int, int]:
        """Rows of the whole table by file id."""
        counts: dict[int, int] = {}
        for row in self._staged():
            counts[row.copy.file_id] = counts.get(row.copy.file_id, 0) + 1
        return counts

    async def insert_absent(self, *, loaded_us: int) -> Insertion:
        """Decide the staged rows by rule L2 and keep the changes for the commit."""
        staged = self._staged()
        counts = {row.copy.file_id: FileCounts() for row in staged}
        welcome = [row for row in staged if not self.is_suppressed(row)]
        for row in staged:
            counts[row.copy.file_id].suppressed += 1
        for row in welcome:
            counts[row.copy.file_id].suppressed -= 1
        decided = self.settle([row.copy for row in welcome], [row.copy for row in self._warehouse.rows])
        absent, displaced = {id(copy) for copy in decided.absent}, {id(copy) for copy in decided.displaced}
        for row in welcome:
            if id(row.copy) in absent:
                counts[row.copy.file_id].inserted += 1
                self._open.rows.append(Row(row.copy, row.values, loaded_us))
            else:
                counts[row.copy.file_id].present += 1
        self._open.displaced = [row for row in self._warehouse.rows if id(row.copy) in displaced]
        return Insertion(counts, _by_file(decided.displaced))

    def settle(self, staged: Iterable[Copy], stored: Iterable[Copy]) -> Settlement:
        """Rule L2."""
        return settle(staged, stored, self._warehouse.expired_days)

    def is_suppressed(self, row: Row) -> bool:
        """Whether the row's subject asked to be forgotten."""
        return not self._warehouse.suppressed.isdisjoint(row.subjects)

    async def add_rollups(self) -> None:
        """Rollups change with the commit."""
        self._open.rollups = True

    async def record(self, entries: Sequence[LedgerEntry], insertion: Insertion) -> None:
        """Keep the entries for the commit."""
        self._open.ledger.update({entry.file_id: entry for entry in entries})

    async def set_aside(self, entries: Sequence[SetAside]) -> None:
        """Keep the errors for the commit."""
        self._open.errors.update({entry.file_id: entry for entry in entries})

    async def commit(self) -> None:
        """Make the changes visible at once and free the lock."""
        self.apply()

    def apply(self) -> None:
        """The server's side of COMMIT; a simulator calls it late, or lets the reply get lost after it."""
        changes, warehouse = self._open, self._warehouse
        gone = {id(row) for row in changes.displaced}
        removed = [row for row in warehouse.rows if id(row) in gone]
        warehouse.rows = [row for row in warehouse.rows if id(row) not in gone] + changes.rows
        if changes.rollups:
            warehouse.rollups.add([row.values for row in changes.rows])
            warehouse.rollups.correct([row.values for row in removed], [row.values for row in warehouse.rows])
        warehouse.ledger.update(changes.ledger)
        for file_id, rows in _by_file(row.copy for row in removed).items():
            if file_id in warehouse.ledger:  # a batch job inserts rows of files that are not loaded yet
                warehouse.ledger[file_id] = _moved(warehouse.ledger[file_id], rows)
        for file_id in changes.ledger:
            warehouse.errors.pop(file_id, None)
            warehouse.released.discard(file_id)
        warehouse.errors.update(changes.errors)
        warehouse.released -= changes.errors.keys()
        warehouse.stage_tables.setdefault(self._slot, []).extend(changes.staged)
        self.abandon()

    async def rollback(self) -> None:
        """Forget the changes and free the lock."""
        self.abandon()

    async def close(self) -> None:
        """As a rollback."""
        self.abandon()

    def abandon(self) -> None:
        """The server forgets the transaction and frees its lock."""
        self._changes = None
        if self._warehouse.lock_holder is self:
            self._warehouse.lock_holder = None

    def _staged(self) -> list[Row]:
        return self._warehouse.stage_tables.get(self._slot, []) + self._open.staged


def _row(values: dict[str, Any]) -> Row:
    event_ts: datetime = values["event_ts"]
    position = (values["src_partition"], values["src_offset"])
    return Row(Copy(values["dedup_id"], event_ts.date(), position, values["file_id"]), values, 0)


def _by_file(copies: Iterable[Copy]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for copy in copies:
        counts[copy.file_id] = counts.get(copy.file_id, 0) + 1
    return counts


def _moved(entry: LedgerEntry, rows: int) -> LedgerEntry:
    """The entry after ``rows`` of its rows left the table for lower copies."""
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return LedgerEntry(**{**fields, "inserted": entry.inserted - rows, "present": entry.present + rows})
