"""The port to the warehouse: what the load procedure (rules L1-L4) asks of it, step by step.

A `WarehouseSession` is one connection of one worker. `headrace_loader.load` calls its steps in the order of rule L1:
prepare, begin, lock, ledger_of, copy, staged_rows, insert_absent, add_rollups, record, commit. Each step is one await and
holds one guard, so that a simulator can stop between any two of them and a test can take one guard away.

Errors of every step: `Unavailable` where the same transaction can be tried again on a new session, `BadData` where the
data of this transaction can never be loaded as it is, `ConfigurationError` where a person must change the warehouse.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from headrace_loader.load_files import CheckedFile
from headrace_runtime.warehouse import CommitUnknown

__all__ = [
    "CommitUnknown",
    "FileCounts",
    "Insertion",
    "LedgerEntry",
    "SetAside",
    "Warehouse",
    "WarehouseSession",
]


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ops.load_ledger: a file that is loaded, and what became of its rows.

    ``inserted + present + suppressed = rows`` at every moment: a row that a lower copy displaces later moves from
    inserted to present in the entry of its file. Times are UTC microseconds.
    """

    file_id: int
    key: str
    partition: int
    chain_start: int
    chain_end: int
    rows: int
    inserted: int
    present: int
    suppressed: int
    min_received_us: int | None
    max_received_us: int | None
    schema_version: int
    loaded_us: int
    writer: str


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ops.load_error: a file that cannot be loaded, and why (rule L3). ``code`` is that of the error."""

    file_id: int
    key: str
    partition: int
    chain_start: int
    rows: int
    code: str
    message: str
    at_us: int


@dataclass(slots=True)
class FileCounts:
    """What became of the rows of one file."""

    inserted: int = 0
    present: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Insertion:
    """Result of insert_absent. ``displaced`` counts, by file, rows that left the table for a lower copy (rule L2)."""

    counts: Mapping[int, FileCounts]
    displaced: Mapping[int, int] = field(default_factory=dict)


class WarehouseSession(Protocol):
    """One connection of one worker; after any error but BadData it is closed and another one is opened."""

    async def prepare(self, files: Sequence[CheckedFile]) -> None:
        """Outside any transaction: create the missing daily partitions of ``files``, empty this worker's stage table."""
        ...

    async def begin(self) -> None:
        """Start the transaction, without a snapshot that outlives a statement (READ COMMITTED)."""
        ...

    async def lock(self) -> None:
        """Wait for the writer's lock of the table, held to the end of the transaction. The first step after begin."""
        ...

    async def ledger_of(self, file_ids: Collection[int]) -> dict[int, LedgerEntry]:
        """The ledger's entries of these files, as committed when the lock was taken."""
        ...

    async def copy(self, file: CheckedFile) -> None:
        """Append the rows of one file to the stage table."""
        ...

    async def staged_rows(self) -> dict[int, int]:
        """Rows in the whole stage table by file id, whoever wrote them."""
        ...

    async def insert_absent(self, *, loaded_us: int) -> Insertion:
        """Insert the stage table's rows by rule L2, suppressed subjects excluded, and keep the set that went in."""
        ...

    async def add_rollups(self) -> None:
        """Bring rollups, user_day and user_first_seen up to what insert_absent did (rule L4)."""
        ...

    async def record(self, entries: Sequence[LedgerEntry], insertion: Insertion) -> None:
        """Add ``entries`` to the ledger, move displaced rows in the entries of their files, settle load errors."""
        ...

    async def set_aside(self, entries: Sequence[SetAside]) -> None:
        """Add or refresh rows of ops.load_error."""
        ...

    async def commit(self) -> None:
        """Commit; `CommitUnknown` where the outcome is not known."""
        ...

    async def rollback(self) -> None:
        """End the transaction without effect. Never raises: a broken session has no transaction any more."""
        ...

    async def close(self) -> None:
        """End the session. Never raises."""
        ...


class Warehouse(Protocol):
    """Opens sessions and answers what discovery asks."""

    async def session(self) -> WarehouseSession:
        """A new session; Unavailable where there is none to be had."""
        ...

    async def loaded_up_to(self) -> dict[int, int]:
        """Per partition the start of the last manifest with a loaded or set-aside file: discovery begins there."""
        ...

    async def settled_files(self, file_ids: Collection[int]) -> set[int]:
        """Those of ``file_ids`` that are loaded, or set aside and not released."""
        ...

    async def released_positions(self) -> list[tuple[int, int]]:
        """(partition, start) of the manifests whose set-aside files a person has released to be tried again."""
        ...
