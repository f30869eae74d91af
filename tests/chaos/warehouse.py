"""The project's memory warehouse under the adversary: sessions that break between any two steps.

It enforces no unique key, as Redshift does not, so nothing hides a missing guard. The server's side of a transaction may
outlive its client: it keeps the lock until the server notices, and a COMMIT that was sent may still be carried out then.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from types import coroutine
from typing import Protocol

from tests.chaos.guards import Guard

from headrace_core.copies import Copy, Settlement, settle
from headrace_core.errors import BadData, Unavailable
from headrace_loader.load_files import CheckedFile
from headrace_loader.memory_warehouse import MemorySession, MemoryWarehouse, Row, Subject
from headrace_loader.warehouse import CommitUnknown, Insertion, LedgerEntry, SetAside, WarehouseSession
from headrace_spark.ports import Suppressions

__all__ = ["DayCommit", "Outlived", "SimulatedSession", "SimulatedWarehouse", "first_wins", "pause"]


@coroutine
def pause() -> Generator[None, None, None]:
    """Give the turn back to the world."""
    yield


@dataclass(frozen=True, slots=True)
class DayCommit:
    """What a transaction of a batch job did, for the oracle."""

    day: date | None
    sequence: int | None
    contains: frozenset[int]
    removed: tuple[Row, ...]
    inserted: tuple[Row, ...]
    suppressed: Suppressions
    rows: tuple[Copy, ...] = ()
    """The generation's, suppressed subjects excluded."""


class Outlived(Protocol):
    """A session whose client is gone."""

    def end(self, carry_out: bool) -> None:
        """The server's end of its transaction."""


class SimulatedWarehouse(MemoryWarehouse):
    """Committed state, the transactions that outlived their clients, and the guards that are taken away."""

    def __init__(self, rng: Random, without: Collection[Guard]) -> None:
        super().__init__(pause)
        self.rng, self.without = rng, without
        self.calm = False
        self.poisoned: set[int] = set()
        """Files whose rows the warehouse refuses."""
        self.commits = 0
        self.outlived: list[Outlived] = []
        self.has_decided = False
        """Whether a load decided about its rows since a loader looked; it has not committed them."""
        self.day_sequences: dict[date, int] = {}
        """ops.day_generation: of each day the sequence of the generation that was applied last."""
        self.day_commits: list[DayCommit] = []
        """What batch jobs committed since the oracle looked."""
        self.inserted: list[tuple[Row, frozenset[Subject]]] = []
        """Rows inserted since the oracle looked, and who was suppressed when their transaction decided."""

    def count_moved(self, gone: Iterable[Row], come: Iterable[Row], suppressed: Suppressions) -> None:
        """Keep the ledger true to what a batch job did: a row that goes is present elsewhere or suppressed, one that comes
        is inserted. Rows of files that are not loaded yet are counted when they are."""
        for row in gone:
            is_of = {("user", each) for each in suppressed.users} & row.subjects
            self._move(row.copy.file_id, -1, suppressed=bool(is_of))
        for row in come:
            self._move(row.copy.file_id, 1)

    def _move(self, file_id: int, rows: int, *, suppressed: bool = False) -> None:
        entry = self.ledger.get(file_id)
        if entry is None:
            return
        fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
        fields["inserted"] += rows
        fields["suppressed" if suppressed else "present"] -= rows
        self.ledger[file_id] = LedgerEntry(**fields)

    async def session(self, slot: str = "0") -> WarehouseSession:
        """A new connection."""
        return self.connect(slot)

    def connect(self, slot: str) -> SimulatedSession:
        """A new connection of the worker in ``slot``."""
        return SimulatedSession(self, slot)

    def notice_one(self) -> None:
        """The server ends one transaction whose client is gone."""
        if self.outlived:
            session = self.outlived.pop(self.rng.randrange(len(self.outlived)))
            session.end(self.rng.random() < 0.6)


class SimulatedSession(MemorySession):
    """One connection. Every step gives the turn away first, and may find the connection broken."""

    def __init__(self, warehouse: SimulatedWarehouse, slot: str) -> None:
        super().__init__(warehouse, slot)
        self._sim = warehouse
        self._broken = False
        self._commit_sent = False
        self._suppressed: frozenset[Subject] = frozenset()
        self._copied: list[CheckedFile] = []

    def lose_client(self) -> None:
        """The client died or the connection broke: what is open stays open until the server notices."""
        if not self._broken:
            self._broken = True
            if self._changes is not None:
                self._sim.outlived.append(self)

    def end(self, carry_out: bool) -> None:
        """The server's end of the transaction."""
        if carry_out and self._commit_sent and self._changes is not None:
            self.apply()
        else:
            self.abandon()

    async def _step(self) -> None:
        await pause()
        if self._broken:
            raise self._lost()
        if not self._sim.calm and self._sim.rng.random() < 0.015:
            self.lose_client()
            raise self._lost()

    @staticmethod
    def _lost() -> Unavailable:
        return Unavailable("The connection broke.", why="the adversary", fix="try again", code="lost")

    async def prepare(self, files: Sequence[CheckedFile]) -> None:
        """See `WarehouseSession`."""
        await self._step()
        await super().prepare(files)

    async def begin(self) -> None:
        """See `WarehouseSession`."""
        await self._step()
        self._copied.clear()
        self._commit_sent = False  # a connection may carry several transactions: each sends its own COMMIT
        await super().begin()

    async def lock(self) -> None:
        """See `WarehouseSession`."""
        await self._step()
        if Guard.LOCK_FIRST not in self._sim.without:
            await super().lock()

    async def ledger_of(self, file_ids: Collection[int]) -> dict[int, LedgerEntry]:
        """See `WarehouseSession`."""
        await self._step()
        return {} if Guard.LEDGER_CHECK in self._sim.without else await super().ledger_of(file_ids)

    async def copy(self, file: CheckedFile) -> None:
        """See `WarehouseSession`."""
        await self._step()
        if file.file_id in self._sim.poisoned:
            raise BadData("A value does not fit.", why="the adversary", fix="repair it", code="value_refused")
        self._copied.append(file)
        await super().copy(file)

    async def staged_rows(self) -> dict[int, int]:
        """See `WarehouseSession`."""
        await self._step()
        if Guard.COUNT_CHECK in self._sim.without:
            return {file.file_id: file.rows for file in self._copied}
        return await super().staged_rows()

    async def insert_absent(self, *, loaded_us: int) -> Insertion:
        """See `WarehouseSession`."""
        await self._step()
        self._suppressed = frozenset(self._sim.suppressed)
        self._sim.has_decided = True
        return await super().insert_absent(loaded_us=loaded_us)

    def settle(self, staged: Iterable[Copy], stored: Iterable[Copy]) -> Settlement:
        """See `MemorySession`."""
        without, table = self._sim.without, list(stored)
        if Guard.DEDUP_WITHIN_BATCH in without:
            return _together(settle([copy], table) for copy in staged)
        if Guard.INSERT_IF_ABSENT in without:
            return settle(staged, ())
        if Guard.LOWEST_OFFSET_WINS in without:
            return first_wins(staged, table)
        return settle(staged, table, self._sim.expired_days)

    def is_suppressed(self, row: Row) -> bool:
        """See `WarehouseSession`."""
        return Guard.SUPPRESSION not in self._sim.without and super().is_suppressed(row)

    async def add_rollups(self) -> None:
        """See `WarehouseSession`."""
        await self._step()
        await super().add_rollups()

    async def record(self, entries: Sequence[LedgerEntry], insertion: Insertion) -> None:
        """See `WarehouseSession`."""
        await self._step()
        await super().record(entries, insertion)
        if Guard.LEDGER_IN_TRANSACTION in self._sim.without:
            self._sim.ledger.update({entry.file_id: entry for entry in entries})

    async def set_aside(self, entries: Sequence[SetAside]) -> None:
        """See `WarehouseSession`."""
        await self._step()
        await super().set_aside(entries)

    async def commit(self) -> None:
        """The reply may get lost, before or after the server acted, or the server may act much later."""
        await self._step()
        self._commit_sent = True
        chance = 1.0 if self._sim.calm else self._sim.rng.random()
        if chance >= 0.2:
            self.apply()
            return
        if chance < 0.07:
            again = self._changes
            self.apply()
            if Guard.NO_BLIND_COMMIT_RETRY in self._sim.without:
                self._changes = again
                self.apply()
                return
        if 0.07 <= chance < 0.13:
            self.abandon()
        self.lose_client()
        raise CommitUnknown(
            "No answer to COMMIT.", why="the adversary", fix="read the ledger", code="commit_unknown"
        )

    def apply(self) -> None:
        """See `MemorySession`."""
        self._sim.commits += 1
        self._sim.inserted += [(row, self._suppressed) for row in self._open.rows]
        super().apply()

    async def rollback(self) -> None:
        """See `WarehouseSession`."""
        if not self._broken:
            await super().rollback()

    async def close(self) -> None:
        """See `WarehouseSession`."""
        if not self._broken:
            await super().close()


def _together(parts: Iterable[Settlement]) -> Settlement:
    whole = Settlement()
    for part in parts:
        whole.absent += part.absent
        whole.present += part.present
        whole.displaced += part.displaced
    return whole


def first_wins(staged: Iterable[Copy], stored: Iterable[Copy]) -> Settlement:
    """What is in the table stays, whatever its position."""
    result, known = Settlement(), {copy.dedup_id for copy in stored}
    for copy in sorted(staged, key=lambda copy: copy.position):
        (result.present if copy.dedup_id in known else result.absent).append(copy)
        known.add(copy.dedup_id)
    return result
