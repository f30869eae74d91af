"""From hot to archived: a closed day's generation is verified file by file, and only then its hot rows may go (rule L4).

Ports only. A day that is not ready waits, which is no error; a file that is not what the generation says is one, and the
day keeps its hot rows until it is restored.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import msgspec

from headrace_core.clock import Clock
from headrace_core.day_archive import (
    DayArchive,
    archived_files,
    decode_archive,
    digest_of_files,
    encode_archive,
)
from headrace_core.errors import BadData
from headrace_core.keys import file_id
from headrace_core.lake import Generation, LakeFile, SeenPointer
from headrace_core.paths import archive_key
from headrace_core.pipeline_run import DayResult
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_store import LakeStore

__all__ = [
    "Archiving",
    "FileReader",
    "HotDay",
    "HotRows",
    "archive_day",
    "differences",
    "due_days",
    "why_kept",
]

_DAY_MS = 86_400_000
_NAMED = 5


@dataclass(frozen=True, slots=True)
class HotDay:
    """A day in the warehouse: its rows, those of them whose file the generation does not contain, when the newest was
    loaded, the sequence that was applied last, and whether it is marked expired."""

    rows: int = 0
    outside: int = 0
    newest_loaded_ms: int | None = None
    sequence: int = 0
    expired: bool = False


class FileReader(Protocol):
    """Reads whole files, on as many machines as there are."""

    async def read(self, files: Sequence[LakeFile]) -> Sequence[LakeFile]:
        """Each file as it is found: bytes and SHA-256 of its content and, where that is what was listed, rows by its
        footer. BadData where one is missing."""


class HotRows(Protocol):
    """The day in the warehouse."""

    async def read(self, event_date: str, contained: Collection[int]) -> HotDay:
        """The day as it is now. ``contained`` are the ids of the files that the generation contains."""

    async def apply(self, generation: Generation, sequence: int) -> None:
        """Bring the day to its generation (rule B3)."""

    async def expire(self, event_date: str, contained: Collection[int], seen: HotDay) -> bool:
        """Remove the day's rows and mark it, in one transaction, if it is still as it was seen. False: it is not, or
        somebody reads it for too long."""


@dataclass(frozen=True, slots=True)
class Archiving:
    """One attempt. ``deadline_s`` bounds each request to the store."""

    run: str
    store: ObjectStore
    lake: LakeStore
    reader: FileReader
    hot: HotRows
    clock: Clock
    deadline_s: float
    min_age_days: int
    dry_run: bool = False
    verified: list[str] = field(default_factory=list)
    """Days that this attempt read file by file."""


def due_days(days: Sequence[str], *, min_age_days: int, now_ms: int) -> list[str]:
    """The days that are older than so many days, oldest first."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return [day for day in sorted(days) if date.fromisoformat(day) < today - timedelta(days=min_age_days)]


def differences(listed: Sequence[LakeFile], found: Sequence[LakeFile]) -> list[str]:
    """What is not as the generation says, in words, by key."""
    by_key = {file.key: file for file in found}
    return [_difference(file, by_key.get(file.key)) for file in listed if by_key.get(file.key) != file]


def _difference(listed: LakeFile, found: LakeFile | None) -> str:
    if found is None:
        return f"{listed.key} is missing"
    if found.sha256 != listed.sha256:
        return f"{listed.key} has another content ({found.bytes} bytes instead of {listed.bytes})"
    return f"{listed.key} has {found.rows} rows instead of {listed.rows}"


def why_kept(hot: HotDay, archive: DayArchive, *, min_age_days: int, now_ms: int) -> str | None:
    """Why the hot rows of a verified day stay; None where they may go. Of a day that expired before, the rows are late
    ones, fewer than the generation's."""
    if hot.sequence != archive.sequence:
        return (
            f"The warehouse holds generation {hot.sequence} of the day, the archive is of {archive.sequence}."
        )
    if hot.outside:
        return f"{hot.outside} rows are of files that no generation contains yet; daily makes one that does."
    if not hot.expired and hot.rows != archive.rows:
        return f"The warehouse holds {hot.rows} rows, the archive {archive.rows}."
    if hot.newest_loaded_ms is not None and now_ms - hot.newest_loaded_ms <= min_age_days * _DAY_MS:
        return f"Its newest row was loaded less than {min_age_days} days ago."
    return None


async def archive_day(job: Archiving, day: str) -> DayResult:
    """Verify the day's generation, unless that was done, and let its hot rows go where they may. BadData where a file is
    not what the generation says; Unavailable where a dependency does not answer."""
    current = await job.lake.read_day(day)
    generation, pointer = current.generation, current.pointer
    if generation is None or pointer is None:
        return DayResult(event_date=day, outcome="unchanged", why="The day has no generation yet.")
    archive = await _record(job, day)
    fresh = archive is None or archive.digest != digest_of_files(archived_files(generation))
    if fresh and not job.dry_run:
        archive = await _verify(job, generation, pointer)
    elif archive is not None and archive.result != pointer.result and not job.dry_run:
        archive = await _store(job, _renamed(archive, generation, pointer))
    contained = [file_id(key) for key in generation.contains]
    hot = await job.hot.read(day, contained)
    if job.dry_run or archive is None:
        return _planned(generation, pointer, hot, fresh=fresh)
    if hot.sequence < pointer.sequence:
        await job.hot.apply(generation, pointer.sequence)
        hot = await job.hot.read(day, contained)
    return await _expire(job, archive, hot, contained, fresh=fresh)


async def _record(job: Archiving, day: str) -> DayArchive | None:
    try:
        return decode_archive(await job.store.get(archive_key(day), deadline_s=job.deadline_s))
    except ObjectNotFound:
        return None


async def _verify(job: Archiving, generation: Generation, pointer: SeenPointer) -> DayArchive:
    listed = archived_files(generation)
    found = await job.reader.read(listed) if listed else ()
    if wrong := differences(listed, found):
        raise BadData(
            f"The archive of {generation.event_date} is not what its generation says; its hot rows stay.",
            why="; ".join(wrong[:_NAMED])
            + (f"; and {len(wrong) - _NAMED} more" if wrong[_NAMED:] else "")
            + ".",
            fix="Restore the objects from their bucket versions, or have the day made anew, then archive it again.",
            code="archive_differs",
        )
    archive = DayArchive(
        event_date=generation.event_date,
        result=pointer.result,
        generation=generation.id.generation,
        sequence=pointer.sequence,
        rows=sum(file.rows for file in generation.files("events")),
        files=len(listed),
        bytes=sum(file.bytes for file in listed),
        digest=digest_of_files(found),
        verified_ms=job.clock.now_ms(),
        run=job.run,
    )
    await _store(job, archive)
    job.verified.append(generation.event_date)
    return archive


def _renamed(archive: DayArchive, generation: Generation, pointer: SeenPointer) -> DayArchive:
    """The record of files that were verified, under the generation that names them now: an erasure swaps days that hold
    no row of its subjects to another name of the same files."""
    return msgspec.structs.replace(
        archive, result=pointer.result, generation=generation.id.generation, sequence=pointer.sequence
    )


async def _store(job: Archiving, archive: DayArchive) -> DayArchive:
    key = archive_key(archive.event_date)
    await job.store.put(key, encode_archive(archive), deadline_s=job.deadline_s)
    return archive


async def _expire(
    job: Archiving, archive: DayArchive, hot: HotDay, contained: Collection[int], *, fresh: bool
) -> DayResult:
    day = archive.event_date
    counts = {"files_verified": archive.files, "bytes_verified": archive.bytes} if fresh else {}
    kept = why_kept(hot, archive, min_age_days=job.min_age_days, now_ms=job.clock.now_ms())
    if kept is None and (hot.rows or not hot.expired):
        if await job.hot.expire(day, contained, hot):
            counts["rows_expired"] = hot.rows
        else:
            kept = "The day changed meanwhile, or was read for too long; the next run tries again."
    return DayResult(
        event_date=day,
        outcome="unchanged" if kept is None else "stopped",
        generation=archive.generation,
        sequence=archive.sequence,
        counts=counts,
        why=kept,
    )


def _planned(generation: Generation, pointer: SeenPointer, hot: HotDay, *, fresh: bool) -> DayResult:
    listed = archived_files(generation) if fresh else []
    return DayResult(
        event_date=generation.event_date,
        outcome="planned",
        generation=generation.id.generation,
        sequence=pointer.sequence,
        counts={
            "files_to_verify": len(listed),
            "bytes_to_verify": sum(file.bytes for file in listed),
            "hot_rows": hot.rows,
        },
    )
