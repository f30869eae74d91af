"""The batch jobs as one process runs them: the project's procedures over the simulated ports, and what is taken away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.chaos.day_engine import Recomputed, SimulatedEngine
from tests.chaos.day_rows import Values, day_of, position_of
from tests.chaos.day_warehouse import SimulatedDays, SimulatedSubjects
from tests.chaos.guards import Guard
from tests.chaos.lake_port import JobStore
from tests.chaos.processes import Turns

from headrace_core.lake import Generation, Plan, SeenPointer
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.erasing_run import Erased, EraseJob, erase, runs_to_wait_for
from headrace_spark.kept_files import check_kept
from headrace_spark.lake_orphans import find_orphans
from headrace_spark.lake_store import LakeStore
from headrace_spark.planning import Inputs
from headrace_spark.ports import Made, PlannedAttempt, Suppressions
from headrace_spark.reprocessing import DayStep, Move, check_undo, order_days, select_files
from headrace_spark.settling import DayJob, Revision, RunIdentity, settle_day
from headrace_spark.store_lake import StoreLake
from headrace_spark.store_records import StoreRecords

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["RunPorts", "new_code", "reprocess"]

_DEADLINE_S = 1.0
_BETWEEN = 0.4
"""How often an erasure sleeps between its readings of plans and of pointers."""
_NEW_CODE = 9


def new_code(row: Values) -> Values:
    """A row as today's code makes it from the raw record: of every third id the event time was two days off."""
    body_and_day = row["properties"]
    raw_day = int(body_and_day[body_and_day.rindex(":") + 1 : -1])
    shift = 2 if int(row["event_id"][1:]) % 3 == 0 else 0
    days = raw_day + shift - _days(row)
    return {**row, "rules_version": _NEW_CODE, "event_ts": row["event_ts"] + timedelta(days=days)}


def _days(row: Values) -> int:
    return int(row["event_ts"].timestamp() // 86_400)


class _Clock:
    """The world's time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return self._world.now_ms

    def monotonic_s(self) -> float:
        return self._world.now_ms / 1000


class _Edges:
    """Every edge of the log, read as one step."""

    def __init__(self, ports: RunPorts) -> None:
        self._ports = ports

    async def read(self) -> EdgeSnapshot:
        await self._ports.turns.turn()
        self._ports.early = self._ports.warehouse.list_now()
        return self._ports.world.days.edges()


class _Gate:
    """Lets everything pass."""

    async def check(self, plan: Plan, made: Made) -> Collection[str]:
        return ()


class _Lake(StoreLake):
    """The project's lake; without the plan's etag it swaps whatever is there."""

    ports: RunPorts

    async def swap(self, generation: Generation, seen: SeenPointer | None) -> int | None:
        if Guard.PLAN_ETAG in self.ports.world.without:
            seen = (await self.ports.records.state(generation.event_date)).pointer
        return await super().swap(generation, seen)


class _Records(StoreRecords):
    """The project's records; guards of an erasure and of an undo are taken away here."""

    ports: RunPorts
    subjects = Suppressions()
    undone = ""

    async def attempts(self, run: str | None = None) -> list[PlannedAttempt]:
        without = self.ports.world.without
        if self.subjects:
            await self.ports.turns.turn(decisive=_BETWEEN)
        found = await super().attempts(run)
        return [] if Guard.SWAP_PLANNED_DAYS in without and run is None else found

    async def history(self, day: str) -> list[Generation]:
        found = await super().history(day)
        if Guard.UNDO_REFUSES in self.ports.world.without and self.undone:
            made = [number for number, each in enumerate(found) if each.id.run == self.undone]
            return found[made[0] :] if made else found
        return found


class _Days(SimulatedDays):
    """The warehouse; without a guard the suppression list is the one from before the plan."""

    ports: RunPorts

    async def suppressed(self) -> Suppressions:
        if Guard.SUPPRESSION_AFTER_PLAN in self.ports.world.without:
            return self.ports.early
        return await super().suppressed()


class RunPorts:
    """All ports of one process."""

    def __init__(self, world: World, turns: Turns) -> None:
        self.world, self.turns = world, turns
        self.early = Suppressions()
        self.store = JobStore(world, turns)
        self.clock = _Clock(world)
        self.lake = _Lake(self.store, self.clock, partitions=world.partition_count, deadline_s=_DEADLINE_S)
        self.records = _Records(self.store, deadline_s=_DEADLINE_S)
        self.warehouse = _Days(world.warehouse, self.store, world.days.files, turns)
        self.lake.ports = self.records.ports = self.warehouse.ports = self
        self.objects = LakeStore(self.store, deadline_s=_DEADLINE_S)

    def engine(self, recomputed: Recomputed | None = None) -> SimulatedEngine:
        """The engine of a daily, or of a reprocess."""
        return SimulatedEngine(
            self.world.store, self.world.days.files, self.turns, self.world.without, recomputed
        )

    def job(self, recomputed: Recomputed | None = None) -> DayJob:
        """The ports as the settling of a day takes them."""
        return DayJob(
            lake=self.lake,
            edges=_Edges(self),
            engine=self.engine(recomputed),
            gate=_Gate(),
            warehouse=self.warehouse,
            clock=self.clock,
        )

    def erase_job(self) -> EraseJob:
        """The ports of an erasure."""
        subjects = SimulatedSubjects(self.warehouse, self.world.warehouse)
        return EraseJob(self.job(), self.records, self.engine(), subjects)

    async def erase(self, run: RunIdentity, subjects: Suppressions) -> Erased:
        """An erasure up to its last swap."""
        self.records.subjects = subjects
        return await erase(self.erase_job(), run, subjects)

    async def check_undo(self, identity: RunIdentity, undone: str) -> None:
        """As the job does first: every file that the undo goes back to is still there."""
        days = sorted({day for attempt in await self.records.attempts(undone) for day in attempt.days})
        histories = {day: await self.records.history(day) for day in days}
        for day in check_undo(undone, identity.run, histories):
            before = next((each for each in histories[day] if each.id.run != undone), None)
            if before is not None:
                await check_kept(self.store, before, deadline_s=_DEADLINE_S)

    async def close(self, erased: Erased, run: str) -> bool:
        """Whether the erasure of ``run`` could be closed; then what it replaced is gone."""
        before = erased.planned_before
        if await runs_to_wait_for(self.records, before, own_run=run, now_ms=self.clock.now_ms()):
            return False
        orphans = await find_orphans(self.store, self.records, before, run=run, deadline_s=_DEADLINE_S)
        await self.store.delete(orphans.doomed, deadline_s=_DEADLINE_S)
        return True


async def reprocess(ports: RunPorts, run: RunIdentity, days: Sequence[str]) -> None:
    """Every row of the days whose file is loaded, computed anew; every day that a row leaves or enters, swapped."""
    inputs = await ports.lake.inputs()
    await ports.turns.turn()
    recomputed, moves = _recomputed(ports, inputs, days)
    for step in _steps(ports.world, moves):
        job = ports.job(Recomputed(recomputed, step.keeps_leaving))
        await settle_day(job, run, step.day, revision=Revision(step.contains))


def _recomputed(
    ports: RunPorts, inputs: Inputs, days: Sequence[str]
) -> tuple[Mapping[tuple[int, int], Values], list[Move]]:
    world = ports.world
    keys = {each.key for day in days for each in inputs.day(day).read}.union(
        *(inputs.state(day).contains for day in days)
    )
    loaded = {entry.key for entry in world.warehouse.ledger.values()}
    if Guard.REPROCESS_LOADED_ONLY in world.without:
        loaded = keys
    selection = select_files(keys, loaded, now_us=world.now_ms * 1000)
    recomputed: dict[tuple[int, int], Values] = {}
    moves: list[Move] = []
    for day in days:
        for row in world.days.files.rows(inputs.day(day), inputs.state(day).generation):
            key, new = world.days.key_of(row["file_id"]), new_code(row)
            if not selection.takes(key, int(row["received_ts"].timestamp() * 1_000_000)):
                continue
            recomputed[position_of(row)] = new
            if new != row:
                moves.append(Move(day, day_of(new), key))
    return recomputed, moves


def _steps(world: World, moves: Sequence[Move]) -> list[DayStep]:
    steps = order_days(moves)
    if Guard.ENTER_BEFORE_LEAVE not in world.without:
        return steps
    return [replace(step, keeps_leaving=False) for step in reversed(steps)]
