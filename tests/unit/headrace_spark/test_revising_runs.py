"""Erasures and undos over a real memory store: what they swap, what they leave, and that repeating them is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from headrace_core.clock import ManualClock
from headrace_core.errors import RetryLater, UsageError
from headrace_core.lake import DayInput, Generation, LakeFile, Plan, PlanId
from headrace_core.paths import generation_key, lake_prefix
from headrace_core.pipeline_run import RunResult
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.erasing_run import Erased, EraseJob, erase, runs_to_wait_for
from headrace_spark.lake_orphans import find_orphans
from headrace_spark.lake_store import LakeStore
from headrace_spark.ports import Applied, Made, Suppressions
from headrace_spark.settling import DayJob, RunIdentity
from headrace_spark.store_lake import StoreLake
from headrace_spark.store_records import StoreRecords
from headrace_spark.undoing import undo_run

_D1, _D2 = "2026-11-20", "2026-11-21"
_WHO = Suppressions(users=frozenset({"ann"}))


@dataclass
class _Place:
    """A memory store with the lake's ports, and an engine that writes names of users instead of rows."""

    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    clock: ManualClock = field(default_factory=ManualClock)
    done: list[str] = field(default_factory=list)
    rows: dict[str, set[str]] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    on_read: Callable[[str], Awaitable[None]] | None = None
    """Told when an erasure looks at a day."""

    def __post_init__(self) -> None:
        self.lake = StoreLake(self.store, self.clock, partitions=1, deadline_s=1)
        self.records = StoreRecords(self.store, deadline_s=1)
        self.objects = LakeStore(self.store, deadline_s=1)

    async def read(self) -> EdgeSnapshot:
        return EdgeSnapshot()

    async def make(
        self, plan: Plan, generations: Mapping[str, Generation], edges: EdgeSnapshot, suppressed: Suppressions
    ) -> Made:
        users = set[str]()
        for file in generations[plan.day.event_date].files("events"):
            users |= self.rows[file.key]
        return Made({"events": (self.file(plan.id.generation, users - suppressed.users),)})

    def file(self, name: str, users: set[str]) -> LakeFile:
        self.rows[name] = users
        return LakeFile(key=name, rows=len(users), bytes=1, sha256="")

    async def holds(self, generation: Generation, subjects: Suppressions) -> bool:
        if self.on_read is not None:
            await self.on_read(generation.event_date)
        return any(self.rows[file.key] & subjects.users for file in generation.files("events"))

    async def check(self, plan: Plan, made: Made) -> list[str]:
        return []

    async def suppressed(self) -> Suppressions:
        return _WHO if "suppress" in self.done else Suppressions()

    async def sequence(self, event_date: str) -> int:
        return self.applied.get(event_date, 0)

    async def apply(self, generation: Generation, sequence: int) -> Applied:
        self.applied[generation.event_date] = sequence
        return Applied()

    async def suppress(self, subjects: Suppressions) -> None:
        self.done.append("suppress")

    async def delete(self, subjects: Suppressions) -> Mapping[str, int]:
        self.done.append("delete")
        return {"events": 1}

    def job(self) -> DayJob:
        return DayJob(lake=self.lake, edges=self, engine=self, gate=self, warehouse=self, clock=self.clock)

    def erase_job(self) -> EraseJob:
        return EraseJob(self.job(), self.records, self, self)

    def run(self, name: str) -> RunIdentity:
        return RunIdentity("erase", name, 1, self.clock.now_ms() + 60_000)

    async def waits(self, erased: Erased) -> list[str]:
        waiting = await runs_to_wait_for(
            self.records, erased.planned_before, own_run="e", now_ms=self.clock.now_ms()
        )
        return [each.run for each in waiting]

    async def lake_file(self, generation: str, day: str) -> str:
        """A file that a plan has written."""
        key = f"{lake_prefix('events', day, generation)}hour=3/part-0.parquet"
        await self.store.put(key, b"x", deadline_s=1)
        return key

    async def swap(self, run: str, day: str, users: set[str], *, plan: int = 1) -> Generation:
        """A generation of ``day`` by a run that has planned it."""
        identity = PlanId(run=run, attempt=1, plan=plan)
        await self.plan(run, day, plan=plan)
        state = await self.records.state(day)
        generation = Generation(
            id=identity,
            job="daily",
            event_date=day,
            previous=None if state.pointer is None else state.pointer.result,
            tables={"events": (self.file(identity.generation, users),)},
            made_ms=0,
        )
        await self.lake.store_generation(generation)
        assert await self.lake.swap(generation, state.pointer)
        return generation

    async def plan(self, run: str, day: str, *, plan: int = 1) -> None:
        await self.lake.store_plan(
            Plan(
                id=PlanId(run=run, attempt=1, plan=plan),
                job="daily",
                day=DayInput(event_date=day),
                made_ms=0,
                ends_by_ms=self.clock.now_ms() + 1_000,
            ),
            EdgeSnapshot(),
        )

    async def succeed(self, run: str) -> None:
        await self.objects.store_result(
            RunResult(run=run, attempt=1, job="daily", outcome="succeeded", started_ms=0, ended_ms=0)
        )

    async def users(self, day: str) -> set[str]:
        generation = (await self.records.state(day)).generation
        assert generation is not None
        return {user for file in generation.files("events") for user in self.rows[file.key]}


async def test_an_erasure_swaps_days_with_rows_without_rows_and_without_a_pointer() -> None:
    place = _Place()
    await place.swap("d", _D1, {"ann", "bob"})
    await place.swap("d", _D2, {"bob"}, plan=2)
    await place.succeed("d")
    await place.plan("running", "2026-11-22")
    erased = await erase(place.erase_job(), place.run("e"), _WHO)
    assert place.done == ["suppress", "delete"]
    assert {day.event_date: day.sequence for day in erased.days} == {_D1: 2, _D2: 2, "2026-11-22": 1}
    assert await place.users(_D1) == {"bob"}
    assert await place.users(_D2) == {"bob"}
    empty = (await place.records.state("2026-11-22")).generation
    assert empty is not None
    assert (empty.tables, empty.contains) == ({}, ())


async def test_it_waits_for_the_runs_planned_before_and_for_no_other() -> None:
    place = _Place()
    await place.plan("before", _D1)
    erased = await erase(place.erase_job(), place.run("e"), _WHO)
    await place.plan("after", _D2)
    assert await place.waits(erased) == ["before"]
    await place.succeed("before")
    assert await place.waits(erased) == []


async def test_what_anybody_wrote_before_the_last_swap_goes() -> None:
    place = _Place()
    await place.swap("d", _D1, {"ann", "bob"})
    await place.swap("d", _D2, {"ann"}, plan=2)
    await place.succeed("d")
    crashed = await place.lake_file("e.1.1", _D1)  # of an earlier attempt of this very run

    async def beside(event_date: str) -> None:
        """While the second day is swapped, a compaction that planned after the erasure had read all plans is at work."""
        if event_date == _D2 and not place.late:
            place.late.append(await place.lake_file("beside.1.1", _D2))
            await place.plan("beside", _D2)

    place.on_read = beside
    await place.plan("e", _D1, plan=1)
    erased = await erase(place.erase_job(), replace(place.run("e"), attempt=2), _WHO)
    assert await place.waits(erased) == ["beside"]
    await place.succeed("beside")
    kept = await place.lake_file("after.1.1", _D2)
    orphans = await find_orphans(place.store, place.records, erased.planned_before, run="e", deadline_s=1)
    assert {crashed, *place.late} <= set(orphans.doomed)
    assert kept not in orphans.doomed
    assert orphans.doomed_events == frozenset(orphans.doomed)


async def test_an_undo_brings_back_the_days_of_a_run() -> None:
    place = _Place()
    before = await place.swap("d", _D1, {"ann"})
    await place.swap("r", _D1, {"bob"})
    await place.succeed("r")
    results = await undo_run(place.job(), place.records, place.run("u"), "r")
    assert [(result.event_date, result.sequence) for result in results] == [(_D1, 3)]
    assert await place.users(_D1) == {"ann"}
    assert place.applied == {_D1: 3}
    history = await place.records.history(_D1)
    assert [generation.id.run for generation in history] == ["u", "r", "d"]
    assert history[0].tables == before.tables
    assert await undo_run(place.job(), place.records, place.run("u"), "r") == []


async def test_an_undo_refuses_what_was_followed_and_what_still_runs() -> None:
    place = _Place()
    await place.swap("d", _D1, {"ann"})
    await place.swap("r", _D1, {"bob"})
    with pytest.raises(RetryLater):
        await undo_run(place.job(), place.records, place.run("u"), "r")
    await place.succeed("r")
    await place.swap("later", _D1, {"bob", "eve"})
    with pytest.raises(UsageError):
        await undo_run(place.job(), place.records, place.run("u"), "r")
    assert await place.users(_D1) == {"bob", "eve"}


async def test_history_ends_where_retention_has_been() -> None:
    place = _Place()
    await place.swap("d", _D1, {"ann"})
    await place.swap("r", _D1, {"bob"})
    await place.store.delete([generation_key("d", 1, 1)], deadline_s=1)
    assert [generation.id.run for generation in await place.records.history(_D1)] == ["r"]


async def test_an_undo_refuses_where_the_record_of_what_was_before_is_gone() -> None:
    place = _Place()
    await place.swap("d", _D1, {"ann"})
    await place.swap("r", _D1, {"bob"})
    await place.succeed("r")
    await place.store.delete([generation_key("d", 1, 1)], deadline_s=1)
    with pytest.raises(UsageError, match="cannot be taken back") as raised:
        await undo_run(place.job(), place.records, place.run("u"), "r")
    assert "no longer kept" in (raised.value.why or "")
    assert await place.users(_D1) == {"bob"}


async def test_an_undo_of_a_days_first_generation_leaves_it_empty() -> None:
    place = _Place()
    await place.swap("r", _D1, {"bob"})
    await place.succeed("r")
    assert len(await undo_run(place.job(), place.records, place.run("u"), "r")) == 1
    assert await place.users(_D1) == set()
