"""Which hours are written anew, and that a compaction changes files alone, whoever else swaps the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.clock import ManualClock
from headrace_core.errors import BadData, RetryLater
from headrace_core.lake import Generation, LakeFile, Plan, PlanId, SeenPointer, StagedFile, Versions
from headrace_core.paths import lake_prefix
from headrace_core.pipeline_run import DayResult
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.compacting import (
    Compaction,
    LooseHour,
    closed_days,
    compact_day,
    compact_days,
    loose_hours,
)
from headrace_spark.lake_store import LakeStore
from headrace_spark.planning import DayState, Inputs, is_current
from headrace_spark.settling import MOST_PLANS_PER_DAY, RunIdentity

_D = "2026-09-01"
_TARGET = 100
_S = 5.0


def _file(hour: int, size_bytes: int, part: int = 0, gen: str = "daily.1.1") -> LakeFile:
    key = f"{lake_prefix('events', _D, gen)}hour={hour}/part-{part}.parquet"
    return LakeFile(key=key, rows=size_bytes, bytes=size_bytes, sha256="")


def _loose(*files: LakeFile) -> list[tuple[int, int]]:
    return [(hour.hour, hour.into) for hour in loose_hours(files, _TARGET)]


def test_small_files_of_an_hour_become_one_and_a_single_one_stays() -> None:
    assert _loose(_file(3, 10), _file(3, 20, 1), _file(4, 1)) == [(3, 1)]


def test_hours_are_in_order_of_the_day() -> None:
    files = [_file(hour, 10, part) for hour in (10, 9, 2) for part in (0, 1)]
    assert [hour for hour, _ in _loose(*files)] == [2, 9, 10]


def test_files_of_about_the_size_wanted_stay() -> None:
    assert _loose(_file(0, 60), _file(0, 60, 1)) == []
    assert _loose(_file(0, 45), _file(0, 45, 1)) == [(0, 1)]
    assert _loose(_file(0, 200)) == []
    assert _loose(_file(0, 201)) == [(0, 2)]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.floats(0.5, 1.0))
def test_what_was_just_written_stays_however_it_compressed(sizes: list[int], ratio: float) -> None:
    for hour in loose_hours([_file(0, size, part) for part, size in enumerate(sizes)], _TARGET):
        each = -int(-sum(sizes) * ratio // hour.into)
        written = [_file(0, each, part) for part in range(hour.into)]
        assert _loose(*written) == []


def test_a_file_of_no_hour_is_refused() -> None:
    with pytest.raises(BadData, match="no hour"):
        loose_hours([LakeFile(key="lake/events/x.parquet", rows=1, bytes=1, sha256="")], _TARGET)


def test_closed_days_leave_out_today_yesterday_and_what_may_be_undone() -> None:
    now_ms = 1_788_264_000_000  # 2026-09-01 12:00 UTC

    def state(job: str = "daily", age_days: int = 0) -> DayState:
        made = Generation(
            id=PlanId(run="r", attempt=1, plan=1),
            job=job,
            event_date=_D,
            made_ms=now_ms - age_days * 86_400_000,
        )
        return DayState(SeenPointer(etag="e", sequence=1, result="r"), made)

    states = {"2026-09-01": state(), "2026-08-31": state(), "2026-08-30": state(), "2026-08-01": state()}
    states |= {"2026-08-02": state("reprocess", 6), "2026-08-03": state("reprocess", 8)}
    assert closed_days(states, now_ms=now_ms) == ["2026-08-01", "2026-08-03", "2026-08-30"]


@dataclass
class _World:
    """A lake in memory with one day, and a rewriter that does as it is told."""

    clock: ManualClock = field(default_factory=ManualClock)
    rivals: int = 0
    loses: int = 0
    torn: int = 0
    takes_s: float = 1.0
    plans: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryObjectStore()
        self.lake = LakeStore(self.store, deadline_s=_S)
        self.job = Compaction(self.lake, self, self.clock)

    async def rewrite(self, plan: Plan, hours: Sequence[LooseHour]) -> tuple[LakeFile, ...]:
        stored = await self.lake.plan(plan.id.run, plan.id.attempt, plan.id.plan)
        assert stored == plan, "stored before anything is read"
        self.plans.append(plan)
        self.clock.advance(self.takes_s)
        if self.rivals:
            self.rivals -= 1
            await self.put(contains=("staged/late",), run=f"rival-{self.rivals}")
        if self.torn:
            self.torn -= 1
            raise BadData("A file is torn.", why="lake/x", fix="Restore it.", code="file_torn")
        rows = [sum(file.rows for file in hour.files) - self.loses for hour in hours]
        made = [_file(hour.hour, 1, gen=plan.id.generation) for hour in hours]
        return tuple(msgspec.structs.replace(f, rows=n) for f, n in zip(made, rows, strict=True))

    async def put(self, contains: tuple[str, ...] = ("staged/a",), run: str = "daily") -> Generation:
        """A generation with a loose and a tight hour."""
        current = await self.lake.read_day(_D)
        gen = f"{run}.1.1"
        generation = Generation(
            id=PlanId(run=run, attempt=1, plan=1),
            job="daily",
            event_date=_D,
            previous=None if current.pointer is None else current.pointer.result,
            contains=contains,
            seen={"2026-08-31": "look"},
            tables={
                "events": (_file(2, 10, 0, gen), _file(2, 10, 1, gen), _file(10, 90, 0, gen)),
                "sessions": (
                    LakeFile(key=lake_prefix("sessions", _D, gen) + "s", rows=1, bytes=1, sha256=""),
                ),
            },
            counts={"events_rows": 110},
            edges_offset=7,
            revision="rev",
            versions=Versions(),
            made_ms=self.clock.now_ms(),
        )
        key = await self.lake.store_generation(generation)
        assert await self.lake.swap(_D, current.pointer, key, now_ms=1)
        return generation

    def run(self, *, dry_run: bool = False) -> RunIdentity:
        return RunIdentity("compact", "compact", 1, self.clock.now_ms() + 60_000, dry_run=dry_run)

    async def now(self) -> Generation:
        generation = (await self.lake.read_day(_D)).generation
        assert generation is not None
        return generation


async def test_files_change_and_nothing_else() -> None:
    world = _World()
    before = await world.put()
    result = await compact_day(world.job, world.run(), _D, _TARGET)
    after = await world.now()
    assert (result.outcome, result.sequence, result.generation) == ("swapped", 2, "compact.1.1")
    assert result.counts == {
        "hours": 1,
        "rows": 20,
        "files_read": 2,
        "bytes_read": 20,
        "files_written": 1,
        "bytes_written": 1,
    }
    assert [file.key for file in after.files("events")] == [
        _file(2, 1, gen="compact.1.1").key,
        before.files("events")[2].key,
    ]
    assert after.files("sessions") == before.files("sessions")
    taken = ("contains", "seen", "revision", "edges_offset", "versions", "event_date", "counts")
    assert all(getattr(after, name) == getattr(before, name) for name in taken)
    assert after.job == "compact"
    assert after.previous == "runs/daily/attempt=1/plan=1/result.json"
    again = await compact_day(world.job, world.run(), _D, _TARGET)
    assert (again.outcome, again.sequence) == ("unchanged", 2)


async def test_a_daily_run_finds_nothing_new_after_it() -> None:
    world = _World()
    await world.put()
    await compact_day(world.job, world.run(), _D, _TARGET)
    current = await world.lake.read_day(_D)
    file = StagedFile(key="staged/a", rows=1, bytes=1, sha256="", partition=0, chain_start=0)
    before = Inputs(
        {_D: [file]},
        {
            _D: DayState(
                current.pointer, await world.lake.generation("runs/daily/attempt=1/plan=1/result.json")
            )
        },
        {},
    )
    after = Inputs({_D: [file]}, {_D: DayState(current.pointer, current.generation)}, {})
    assert before.seen("2026-09-02") == after.seen("2026-09-02") != {}
    assert is_current(before, _D) == is_current(after, _D)


async def test_a_late_row_that_comes_meanwhile_is_kept() -> None:
    world = _World(rivals=1)
    await world.put()
    result = await compact_day(world.job, world.run(), _D, _TARGET)
    after = await world.now()
    assert (result.sequence, after.contains) == (3, ("staged/late",))
    assert [plan.id.plan for plan in world.plans] == [1, 2]
    assert after.files("events")[1].key.startswith(lake_prefix("events", _D, "rival-0.1.1"))


async def test_a_day_that_others_keep_swapping_is_tried_again_later() -> None:
    world = _World(rivals=MOST_PLANS_PER_DAY)
    await world.put()
    with pytest.raises(RetryLater, match="swapped by other runs"):
        await compact_day(world.job, world.run(), _D, _TARGET)


async def test_a_rewriter_that_loses_a_row_swaps_nothing() -> None:
    world = _World(loses=1)
    before = await world.put()
    with pytest.raises(BadData, match="did not keep its rows"):
        await compact_day(world.job, world.run(), _D, _TARGET)
    assert await world.now() == before


async def test_a_torn_day_is_told_of_and_the_next_one_is_compacted() -> None:
    world = _World(torn=1)
    await world.put()
    done: list[DayResult] = []
    results, torn = await compact_days(world.job, world.run(), [_D, _D], _TARGET, finish=done.append)
    assert [result.outcome for result in results] == ["stopped", "swapped"]
    assert results[0].why == "A file is torn. lake/x"
    assert (done, [error.code for error in torn]) == (results, ["file_torn"])


async def test_a_file_that_an_erasure_removed_meanwhile_is_no_torn_day() -> None:
    world = _World(rivals=1, torn=1)
    await world.put()
    assert (await compact_day(world.job, world.run(), _D, _TARGET)).sequence == 3


async def test_past_its_time_nothing_is_swapped() -> None:
    world = _World(takes_s=61)
    before = await world.put()
    with pytest.raises(RetryLater, match="time is over"):
        await compact_day(world.job, world.run(), _D, _TARGET)
    assert await world.now() == before


async def test_a_dry_run_and_a_day_without_generation_store_nothing() -> None:
    world = _World()
    assert (await compact_day(world.job, world.run(), _D, _TARGET)).outcome == "unchanged"
    before = await world.put()
    planned = await compact_day(world.job, world.run(dry_run=True), _D, _TARGET)
    assert (planned.outcome, planned.counts["files_read"]) == ("planned", 2)
    assert (await world.now(), world.plans) == (before, [])


async def test_rows_of_a_newer_version_are_left_to_it() -> None:
    world = _World()
    before = await world.put()
    newer = msgspec.structs.replace(
        before, id=PlanId(run="newer", attempt=1, plan=1), versions=Versions(schema_version=99)
    )
    current = await world.lake.read_day(_D)
    await world.lake.swap(_D, current.pointer, await world.lake.store_generation(newer), now_ms=1)
    with pytest.raises(RetryLater, match="newer version"):
        await compact_day(world.job, world.run(), _D, _TARGET)
