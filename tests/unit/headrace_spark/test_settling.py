"""One day from plan to warehouse: the order of the steps, and what happens when another run is faster."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest

from headrace_core.clock import ManualClock
from headrace_core.errors import BadData, RetryLater, Unavailable
from headrace_core.lake import Generation, Plan, SeenPointer, StagedFile
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.planning import DayState, Inputs
from headrace_spark.ports import Applied, Made, Suppressions
from headrace_spark.settling import (
    APPLY_PAUSES_S,
    MOST_PLANS_PER_DAY,
    DayJob,
    Revision,
    RunIdentity,
    settle_day,
)

_D = "2026-11-20"
_FILE = StagedFile(key="staged/a", rows=3, bytes=1, sha256="", partition=0, chain_start=0)


@dataclass
class _World:
    """Lake, edges, engine, gate and warehouse in memory; it writes down what was called, in order."""

    files: dict[str, list[StagedFile]] = field(default_factory=lambda: {_D: [_FILE]})
    states: dict[str, DayState] = field(default_factory=dict)
    applied: dict[str, int] = field(default_factory=dict)
    edges_offset: int = 5
    rivals: int = 0
    gone: int = 0
    refuses: bool = False
    losses: int = 0
    superseded: bool = False
    clock: ManualClock = field(default_factory=ManualClock)
    computes_s: float = 1.0
    calls: list[str] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)

    async def inputs(self) -> Inputs:
        return Inputs(self.files, dict(self.states), {"0": 10})

    async def read(self) -> EdgeSnapshot:
        return EdgeSnapshot((), self.edges_offset)

    async def store_plan(self, plan: Plan, edges: EdgeSnapshot) -> None:
        assert edges.offset == plan.edges_offset
        self.plans.append(plan)
        self.calls.append("plan")

    async def suppressed(self) -> Suppressions:
        self.calls.append("suppressed")
        return Suppressions()

    async def make(
        self, plan: Plan, generations: Mapping[str, Generation], edges: EdgeSnapshot, suppressed: Suppressions
    ) -> Made:
        self.calls.append("make")
        self.clock.advance(self.computes_s)
        if self.rivals:
            self.rivals -= 1
            self._put(Generation(id=plan.id, job="rival", event_date=_D, made_ms=0))
        if self.gone:
            self.gone -= 1
            raise BadData("A file is gone.")
        return Made({}, {"rows": 3})

    async def check(self, plan: Plan, made: Made) -> Collection[str]:
        self.calls.append("check")
        if self.refuses:
            raise BadData("The day looks wrong.")
        return ["runs/report.html"]

    async def store_generation(self, generation: Generation) -> None:
        self.calls.append("generation")

    async def swap(self, generation: Generation, seen: SeenPointer | None) -> int | None:
        self.calls.append("swap")
        current = self.states.get(generation.event_date, DayState()).pointer
        return self._put(generation) if current == seen else None

    def _put(self, generation: Generation) -> int:
        before = self.states.get(_D, DayState()).pointer
        sequence = 1 if before is None else before.sequence + 1
        pointer = SeenPointer(etag=f"e{sequence}", sequence=sequence, result="r")
        self.states[_D] = DayState(pointer, generation)
        return sequence

    async def sequence(self, event_date: str) -> int:
        return self.applied.get(event_date, 0)

    async def apply(self, generation: Generation, sequence: int) -> Applied:
        self.calls.append(f"apply {sequence}")
        if self.losses:
            self.losses -= 1
            raise Unavailable("The connection broke.")
        if self.superseded:
            return Applied(superseded=True)
        self.applied[generation.event_date] = sequence
        return Applied(counts={"inserted": 3})

    def job(self) -> DayJob:
        return DayJob(
            lake=self,
            edges=self,
            engine=self,
            gate=self,
            warehouse=self,
            clock=self.clock,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def run(self, *, dry_run: bool = False) -> RunIdentity:
        return RunIdentity("daily", "daily", 1, self.clock.now_ms() + 60_000, dry_run)


async def test_the_order_is_the_protocol() -> None:
    world = _World()
    result = await settle_day(world.job(), world.run(), _D)
    assert world.calls == ["plan", "suppressed", "make", "check", "generation", "swap", "apply 1"]
    assert (result.outcome, result.sequence, result.generation) == ("swapped", 1, "daily.1.1")
    assert result.counts == {"rows": 3, "inserted": 3}
    generation = world.states[_D].generation
    assert generation is not None
    assert generation.contains == (_FILE.key,)


async def test_a_second_run_finds_nothing_to_do() -> None:
    world = _World()
    await settle_day(world.job(), world.run(), _D)
    world.calls.clear()
    result = await settle_day(world.job(), world.run(), _D)
    assert (result.outcome, result.sequence) == ("unchanged", 1)
    assert world.calls == []


async def test_new_edges_or_new_files_are_something_to_do() -> None:
    world = _World()
    await settle_day(world.job(), world.run(), _D)
    world.edges_offset += 1
    assert (await settle_day(world.job(), world.run(), _D)).sequence == 2
    world.files[_D] = [
        _FILE,
        StagedFile(key="staged/b", rows=1, bytes=1, sha256="", partition=0, chain_start=9),
    ]
    assert (await settle_day(world.job(), world.run(), _D)).sequence == 3
    assert [file.key for file in world.plans[-1].day.read] == ["staged/b"]


async def test_a_lost_swap_is_a_new_plan() -> None:
    world = _World(rivals=1)
    result = await settle_day(world.job(), world.run(), _D)
    assert (result.outcome, result.sequence, result.generation) == ("swapped", 2, "daily.1.2")
    assert [plan.day.pointer for plan in world.plans] == [
        None,
        SeenPointer(etag="e1", sequence=1, result="r"),
    ]


async def test_a_day_that_others_keep_swapping_is_left_for_later() -> None:
    world = _World(rivals=MOST_PLANS_PER_DAY)
    with pytest.raises(RetryLater):
        await settle_day(world.job(), world.run(), _D)
    assert world.applied == {}


async def test_past_its_end_a_run_swaps_nothing() -> None:
    world = _World(computes_s=61)
    with pytest.raises(RetryLater):
        await settle_day(world.job(), world.run(), _D)
    assert "swap" not in world.calls


async def test_what_the_gate_refuses_is_not_swapped() -> None:
    world = _World(refuses=True)
    with pytest.raises(BadData):
        await settle_day(world.job(), world.run(), _D)
    assert world.calls[-1] == "check"
    assert world.states == {}


async def test_a_swap_without_its_load_is_made_good() -> None:
    world = _World()
    await settle_day(world.job(), world.run(), _D)
    world.applied.clear()
    result = await settle_day(world.job(), world.run(), _D)
    assert (result.outcome, result.counts) == ("unchanged", {"inserted": 3})
    assert world.applied == {_D: 1}


async def test_a_dry_run_says_what_it_would_read_and_writes_nothing() -> None:
    world = _World()
    result = await settle_day(world.job(), world.run(dry_run=True), _D)
    assert (result.outcome, result.counts) == ("planned", {"files_to_read": 1, "rows_to_read": 3})
    assert world.calls == []


async def test_a_day_without_rows_gets_no_generation() -> None:
    world = _World(files={})
    result = await settle_day(world.job(), world.run(), _D)
    assert result.outcome == "unchanged"
    assert result.why
    assert world.calls == []


async def test_a_revision_is_made_though_nothing_new_came_in() -> None:
    world = _World()
    await settle_day(world.job(), world.run(), _D)
    revision = Revision(contains=frozenset({"staged/moved"}), reads_new=False)
    result = await settle_day(
        world.job(), RunIdentity("reprocess", "again", 1, 1 << 60), _D, revision=revision
    )
    generation = world.states[_D].generation
    assert generation is not None
    assert (result.outcome, result.sequence) == ("swapped", 2)
    assert generation.contains == (_FILE.key, "staged/moved")
    assert generation.revision == "again.1.1"
    assert world.plans[-1].revises
    assert world.plans[-1].day.read == ()


async def test_past_its_end_a_run_writes_no_rows() -> None:
    world = _World()
    await settle_day(world.job(), world.run(), _D)
    world.applied.clear()
    run = world.run()
    world.clock.advance(61)
    with pytest.raises(RetryLater):
        await settle_day(world.job(), run, _D)
    assert world.applied == {}


async def test_a_warehouse_that_loses_its_connection_is_asked_again() -> None:
    world = _World(losses=len(APPLY_PAUSES_S))
    result = await settle_day(world.job(), world.run(), _D)
    assert (result.outcome, result.counts["inserted"]) == ("swapped", 3)
    assert world.calls.count("apply 1") == len(APPLY_PAUSES_S) + 1


async def test_a_warehouse_that_stays_away_ends_the_attempt() -> None:
    world = _World(losses=100)
    with pytest.raises(Unavailable):
        await settle_day(world.job(), world.run(), _D)
    assert world.calls.count("apply 1") == len(APPLY_PAUSES_S) + 1


async def test_the_warehouse_is_not_asked_again_past_the_end_of_the_run() -> None:
    world = _World(losses=100, computes_s=58)
    with pytest.raises(RetryLater):
        await settle_day(world.job(), world.run(), _D)
    assert world.calls.count("apply 1") == 2


async def test_a_later_generation_in_the_warehouse_is_told() -> None:
    world = _World(superseded=True)
    result = await settle_day(world.job(), world.run(), _D)
    assert result.why == "The warehouse had a later generation of the day already."


async def test_lost_swaps_name_the_file_that_was_gone() -> None:
    world = _World(rivals=MOST_PLANS_PER_DAY, gone=MOST_PLANS_PER_DAY)
    with pytest.raises(RetryLater) as raised:
        await settle_day(world.job(), world.run(), _D)
    assert isinstance(raised.value.__cause__, BadData)


async def test_files_that_are_gone_because_the_pointer_moved_are_a_lost_swap() -> None:
    world = _World(rivals=1, gone=1)
    result = await settle_day(world.job(), world.run(), _D)
    assert (result.outcome, result.generation) == ("swapped", "daily.1.2")


async def test_files_that_are_gone_under_the_same_pointer_are_bad_data() -> None:
    world = _World(gone=1)
    with pytest.raises(BadData):
        await settle_day(world.job(), world.run(), _D)
