"""A day's hot rows go only behind a verified archive, and only as they were seen."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
import pytest

from headrace_core.clock import ManualClock
from headrace_core.day_archive import DayArchive, decode_archive, digest_of_files
from headrace_core.errors import BadData
from headrace_core.keys import file_id
from headrace_core.lake import Generation, LakeFile, PlanId
from headrace_core.paths import archive_key
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.archiving import Archiving, HotDay, archive_day, differences, due_days, why_kept
from headrace_spark.lake_store import LakeStore

_S = 5.0
_D = "2026-08-01"
_NOW_MS = 1_790_000_000_000  # 2026-09-21
_DAY_MS = 86_400_000
_OLD_MS = _NOW_MS - 36 * _DAY_MS
_FILE = LakeFile(key="lake/events/a", rows=10, bytes=100, sha256="a" * 64)
_SESSIONS = LakeFile(key="lake/aggregates/sessions/s", rows=3, bytes=30, sha256="b" * 64)


def _archive(sequence: int = 2, rows: int = 10) -> DayArchive:
    return DayArchive(
        event_date=_D,
        result="r",
        generation="g",
        sequence=sequence,
        rows=rows,
        files=1,
        bytes=1,
        digest="",
        verified_ms=0,
        run="run",
    )


def test_days_are_due_once_they_are_older() -> None:
    days = ["2026-08-17", "2026-08-16", "2026-01-01"]
    assert due_days(days, min_age_days=35, now_ms=_NOW_MS) == ["2026-01-01", "2026-08-16"]


def test_differences_name_the_file_and_what_is_wrong() -> None:
    torn = msgspec.structs.replace(_FILE, sha256="c" * 64, bytes=7)
    fewer = msgspec.structs.replace(_SESSIONS, rows=2)
    assert differences([_FILE, _SESSIONS], [_SESSIONS, _FILE]) == []
    assert differences([_FILE, _SESSIONS], [torn, fewer]) == [
        "lake/events/a has another content (7 bytes instead of 100)",
        "lake/aggregates/sessions/s has 2 rows instead of 3",
    ]
    assert differences([_FILE], []) == ["lake/events/a is missing"]


def test_the_digest_has_no_order_and_misses_nothing() -> None:
    whole = digest_of_files([_FILE, _SESSIONS])
    assert whole == digest_of_files([_SESSIONS, _FILE])
    line = f"{'a' * 64} 100 10 lake/events/a\n"
    assert digest_of_files([_FILE]) == hashlib.sha256(line.encode()).hexdigest()
    assert whole != digest_of_files([msgspec.structs.replace(_FILE, rows=11), _SESSIONS])


@pytest.mark.parametrize(
    ("hot", "why"),
    [
        (HotDay(10, 0, _OLD_MS, 2), None),
        (HotDay(4, 0, _OLD_MS, 2, expired=True), None),
        (HotDay(0, 0, None, 2, expired=True), None),
        (HotDay(10, 0, _OLD_MS, 1), "generation 1 of the day, the archive is of 2"),
        (HotDay(11, 1, _OLD_MS, 2), "1 rows are of files that no generation contains"),
        (HotDay(9, 0, _OLD_MS, 2), "holds 9 rows, the archive 10"),
        (HotDay(0, 0, None, 2), "holds 0 rows, the archive 10"),
        (HotDay(10, 0, _NOW_MS - 35 * _DAY_MS, 2), "newest row"),
        (HotDay(4, 0, _NOW_MS - 1, 2, expired=True), "newest row"),
    ],
)
def test_hot_rows_stay_unless_all_is_well(hot: HotDay, why: str | None) -> None:
    kept = why_kept(hot, _archive(), min_age_days=35, now_ms=_NOW_MS)
    assert kept is None if why is None else kept is not None and why in kept


@dataclass
class _World:
    """A lake in memory, files as they are found, and a warehouse of one day."""

    hot: HotDay = field(default_factory=lambda: HotDay(10, 0, _OLD_MS, 1))
    found: list[LakeFile] = field(default_factory=lambda: [_FILE, _SESSIONS])
    changes: bool = False
    reads: int = 0
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryObjectStore()
        self.lake = LakeStore(self.store, deadline_s=_S)

    async def make(self, run: str = "daily", *files: LakeFile) -> None:
        """A new generation of the day, with other files of events than these two where they are given."""
        current = await self.lake.read_day(_D)
        generation = Generation(
            id=PlanId(run=run, attempt=1, plan=1),
            job="daily",
            event_date=_D,
            contains=("staged/a",),
            tables={"events": files or (_FILE,), "sessions": (_SESSIONS,)},
            made_ms=0,
        )
        key = await self.lake.store_generation(generation)
        assert await self.lake.swap(_D, current.pointer, key, now_ms=0)

    async def archive(self, *, dry_run: bool = False) -> tuple[str, str | None, dict[str, int]]:
        job = Archiving(
            run="archive",
            store=self.store,
            lake=self.lake,
            reader=_Files(self),
            hot=self,
            clock=ManualClock(_NOW_MS),
            deadline_s=_S,
            min_age_days=35,
            dry_run=dry_run,
        )
        result = await archive_day(job, _D)
        return result.outcome, result.why, result.counts

    async def read(self, event_date: str, contained: Collection[int]) -> HotDay:
        assert (event_date, set(contained)) == (_D, {file_id("staged/a")})
        return self.hot

    async def apply(self, generation: Generation, sequence: int) -> None:
        self.calls.append(f"apply {sequence}")
        self.hot = HotDay(10, 0, _OLD_MS, sequence, self.hot.expired)

    async def expire(self, event_date: str, contained: Collection[int], seen: HotDay) -> bool:
        assert await self.store.exists(archive_key(_D), deadline_s=_S), "recorded before rows go"
        assert seen == self.hot
        self.calls.append("expire")
        if not self.changes:
            self.hot = HotDay(0, 0, None, seen.sequence, expired=True)
        return not self.changes


@dataclass
class _Files:
    world: _World

    async def read(self, files: Sequence[LakeFile]) -> Sequence[LakeFile]:
        self.world.reads += 1
        assert [file.key for file in files] == sorted(file.key for file in self.world.found)
        return self.world.found


_VERIFIED = {"files_verified": 2, "bytes_verified": 130}


async def test_a_day_is_verified_recorded_and_expired_once() -> None:
    world = _World()
    await world.make()
    assert await world.archive() == ("unchanged", None, {**_VERIFIED, "rows_expired": 10})
    record = decode_archive(await world.store.get(archive_key(_D), deadline_s=_S))
    assert (record.rows, record.files, record.bytes, record.sequence) == (10, 2, 130, 1)
    assert record.digest == digest_of_files([_FILE, _SESSIONS])
    assert await world.archive() == ("unchanged", None, {})
    assert (world.reads, world.calls) == (1, ["expire"])


async def test_a_wrong_file_keeps_the_rows_and_is_named() -> None:
    world = _World(found=[_FILE, msgspec.structs.replace(_SESSIONS, sha256="0" * 64)])
    await world.make()
    with pytest.raises(BadData, match="not what its generation says") as raised:
        await world.archive()
    assert _SESSIONS.key in (raised.value.why or "")
    assert world.calls == []
    assert not await world.store.exists(archive_key(_D), deadline_s=_S)


async def test_a_warehouse_that_is_behind_is_brought_to_the_generation_first() -> None:
    world = _World()
    await world.make()
    await world.make("later")
    outcome, _, counts = await world.archive()
    assert (outcome, counts["rows_expired"], world.calls) == ("unchanged", 10, ["apply 2", "expire"])


async def test_a_day_that_is_not_ready_waits_and_is_not_read_again() -> None:
    world = _World(hot=HotDay(11, 1, _NOW_MS, 1))
    await world.make()
    outcome, why, counts = await world.archive()
    assert (outcome, counts) == ("stopped", _VERIFIED)
    assert why is not None
    assert await world.archive() == ("stopped", why, {})
    assert (world.reads, world.calls) == (1, [])


async def test_a_generation_of_other_files_is_verified_anew_and_late_rows_go_too() -> None:
    world = _World()
    await world.make()
    await world.archive()
    other = msgspec.structs.replace(_FILE, sha256="d" * 64)
    await world.make("later", other)
    world.found = [other, _SESSIONS]
    world.hot = HotDay(2, 0, _OLD_MS, 2, expired=True)
    assert await world.archive() == ("unchanged", None, {**_VERIFIED, "rows_expired": 2})
    assert world.reads == 2


async def test_the_same_files_under_another_name_are_not_read_again() -> None:
    world = _World()
    await world.make()
    await world.archive()
    await world.make("repointed")
    world.hot = HotDay(2, 0, _OLD_MS, 2, expired=True)
    assert await world.archive() == ("unchanged", None, {"rows_expired": 2})
    record = decode_archive(await world.store.get(archive_key(_D), deadline_s=_S))
    assert (record.generation, record.sequence) == ("repointed.1.1", 2)
    assert world.reads == 1


async def test_a_day_that_changes_under_the_lock_waits() -> None:
    world = _World(changes=True)
    await world.make()
    outcome, why, _ = await world.archive()
    assert outcome == "stopped"
    assert why is not None
    assert "meanwhile" in why


async def test_a_dry_run_reads_no_file_and_leaves_no_record() -> None:
    world = _World()
    assert (await world.archive(dry_run=True))[1] == "The day has no generation yet."
    await world.make()
    counts = {"files_to_verify": 2, "bytes_to_verify": 130, "hot_rows": 10}
    assert await world.archive(dry_run=True) == ("planned", None, counts)
    assert (world.reads, world.calls) == (0, [])
    assert not await world.store.exists(archive_key(_D), deadline_s=_S)
