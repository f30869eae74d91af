"""The load procedure: staged files into the warehouse, each exactly once (rules L1 and L3).

Nothing here but awaits of the warehouse port: no tasks, no timers, no clock. A caller drives it on real connections or
step by step under an adversary. Trying again is always safe, also after a COMMIT without a reply: the ledger, read under
the lock, says what is already in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from headrace_core.errors import BadData, ConfigurationError, Unavailable
from headrace_loader.load_files import CheckedFile, ManifestFile
from headrace_loader.warehouse import (
    FileCounts,
    Insertion,
    LedgerEntry,
    SetAside,
    Warehouse,
    WarehouseSession,
)

__all__ = [
    "LoadResult",
    "UnreadFile",
    "halves",
    "load_batch",
    "load_files",
    "load_in_order",
    "set_aside_files",
]


@dataclass(slots=True)
class LoadResult:
    """The ledger's entries of the files that are in, whoever loaded them, and the files set aside."""

    loaded: dict[int, LedgerEntry] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)
    """Ids of the files that this call loaded; the others of ``loaded`` stood in the ledger already."""
    set_aside: list[SetAside] = field(default_factory=list)
    transactions: int = 0

    def add(self, more: LoadResult) -> None:
        """Take in what became of further files."""
        self.loaded.update(more.loaded)
        self.new |= more.new
        self.set_aside += more.set_aside
        self.transactions += more.transactions


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file whose bytes cannot be had: missing, torn, foreign; and why."""

    entry: ManifestFile
    error: BadData


def halves(files: Sequence[CheckedFile]) -> list[Sequence[CheckedFile]]:
    """Two parts of a batch that failed, in its order: a partition's files load in the order of its chain."""
    middle = (len(files) + 1) // 2
    return [files[:middle], files[middle:]]


async def load_in_order(
    warehouse: Warehouse, files: Sequence[CheckedFile | UnreadFile], *, now_us: int, writer: str
) -> LoadResult:
    """Load the files that were read and set the others aside, in the order given. Raises as `load_files`.

    A worker that starts looks for work from the last settled manifest of each partition on. So a file is settled only
    when all before it in its chain are: a crash in between would leave those out for good.
    """
    result = LoadResult()
    for _, group in groupby(files, key=type):
        part = list(group)
        read = [file for file in part if isinstance(file, CheckedFile)]
        unread = [(file.entry, file.error) for file in part if isinstance(file, UnreadFile)]
        if read:
            result.add(await load_files(warehouse, read, now_us=now_us, writer=writer))
        result.set_aside += await set_aside_files(warehouse, unread, now_us=now_us)
    return result


async def load_files(
    warehouse: Warehouse, files: Sequence[CheckedFile], *, now_us: int, writer: str
) -> LoadResult:
    """Load all files in as few transactions as their health allows; a poisoned one is set aside (rule L3).

    Raises what a transaction raises except BadData: Unavailable means call again with the same files.
    """
    result = LoadResult()
    pending: list[Sequence[CheckedFile]] = [files] if files else []
    session = await warehouse.session()
    try:
        while pending:
            batch = pending.pop(0)
            result.transactions += 1
            try:
                loaded, new = await load_batch(session, batch, now_us=now_us, writer=writer)
            except BadData as error:
                if len(batch) > 1:
                    pending[:0] = halves(batch)
                    continue
                poisoned = _set_aside(batch[0].entry, error, now_us)
                await _record_set_aside(session, [poisoned])
                result.set_aside.append(poisoned)
            else:
                result.loaded.update(loaded)
                result.new.update(new)
    finally:
        await session.close()
    return result


async def load_batch(
    session: WarehouseSession, files: Sequence[CheckedFile], *, now_us: int, writer: str
) -> tuple[dict[int, LedgerEntry], set[int]]:
    """One transaction of rule L1: the ledger's entries of all ``files``, and the ids of those that it loaded now."""
    await session.prepare(files)
    await session.begin()
    try:
        await session.lock()
        entries = await session.ledger_of([file.file_id for file in files])
        _check_collisions(files, entries)
        missing = [file for file in files if file.file_id not in entries]
        if not missing:
            await session.rollback()
            return entries, set()
        added = await _load_missing(session, missing, now_us=now_us, writer=writer)
    except BaseException:
        await session.rollback()
        raise
    await session.commit()
    return {**entries, **added}, set(added)


async def _load_missing(
    session: WarehouseSession, files: Sequence[CheckedFile], *, now_us: int, writer: str
) -> dict[int, LedgerEntry]:
    """The part of the transaction between the ledger check and COMMIT."""
    for file in files:
        await session.copy(file)
    _check_rows(files, await session.staged_rows())
    insertion = await session.insert_absent(loaded_us=now_us)
    await session.add_rollups()
    entries = [_entry(file, insertion, now_us, writer) for file in files]
    await session.record(entries, insertion)
    return {entry.file_id: entry for entry in entries}


async def set_aside_files(
    warehouse: Warehouse, failures: Sequence[tuple[ManifestFile, BadData]], *, now_us: int
) -> list[SetAside]:
    """Set files aside whose bytes cannot be had: missing, torn, foreign. One that the ledger holds stays loaded."""
    entries = [_set_aside(file, error, now_us) for file, error in failures]
    if entries:
        session = await warehouse.session()
        try:
            await _record_set_aside(session, entries)
        finally:
            await session.close()
    return entries


async def _record_set_aside(session: WarehouseSession, entries: Sequence[SetAside]) -> None:
    await session.begin()
    try:
        await session.lock()
        loaded = await session.ledger_of([entry.file_id for entry in entries])
        await session.set_aside([entry for entry in entries if entry.file_id not in loaded])
    except BaseException:
        await session.rollback()
        raise
    await session.commit()


def _set_aside(file: ManifestFile, error: BadData, now_us: int) -> SetAside:
    return SetAside(
        file_id=file.file_id,
        key=file.file.key,
        partition=file.partition,
        chain_start=file.chain_start,
        rows=file.file.rows,
        code=error.code,
        message=str(error),
        at_us=now_us,
    )


def _entry(file: CheckedFile, insertion: Insertion, now_us: int, writer: str) -> LedgerEntry:
    counts = insertion.counts.get(file.file_id, FileCounts())
    entry = file.entry
    return LedgerEntry(
        file_id=file.file_id,
        key=entry.file.key,
        partition=entry.partition,
        chain_start=entry.chain_start,
        chain_end=entry.chain_end,
        rows=file.rows,
        inserted=counts.inserted,
        present=counts.present,
        suppressed=counts.suppressed,
        min_received_us=entry.min_received_us,
        max_received_us=entry.max_received_us,
        schema_version=entry.schema_version,
        loaded_us=now_us,
        writer=writer,
    )


def _check_collisions(files: Sequence[CheckedFile], entries: dict[int, LedgerEntry]) -> None:
    for file in files:
        known = entries.get(file.file_id)
        if known is not None and known.key != file.entry.file.key:
            raise ConfigurationError(
                "Two staged files have the same file id.",
                why=f"{known.key} is loaded as {known.file_id}, and {file.entry.file.key} has this id too.",
                fix="Stage the second file again under another name (a new nonce), and report this: the chance is 1 in 2^64.",
                code="file_id_collision",
            )


def _check_rows(files: Sequence[CheckedFile], staged: dict[int, int]) -> None:
    """The whole table must hold exactly what the manifests say: a torn copy or another worker's rows end the transaction."""
    expected = {file.file_id: file.rows for file in files}
    foreign = sum(rows for file_id, rows in staged.items() if file_id not in expected)
    if foreign:
        raise Unavailable(
            "The stage table holds rows of another load.",
            why=f"{foreign} rows belong to files that this transaction did not copy.",
            fix="Nothing to do: the load is tried again. If it persists, two workers share a slot; give each its own.",
            code="stage_table_shared",
        )
    wrong = {file_id: rows for file_id, rows in expected.items() if staged.get(file_id, 0) != rows}
    if not wrong:
        return
    names = ", ".join(file.entry.file.key for file in files if file.file_id in wrong)
    detail = ", ".join(f"{staged.get(file_id, 0)} instead of {rows}" for file_id, rows in wrong.items())
    raise BadData(
        "The stage table does not hold the rows that the manifests name.",
        why=f"{names}: {detail}.",
        fix="Compare the file with its manifest; restore it, then release it with the loader's release command.",
        code="file_rows_differ",
    )
