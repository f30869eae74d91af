"""An erasure from suppression to the last swap, over ports (rules E1 to E3 and E5). The order is the protocol.

1. The suppression is committed: whoever reads the list from now on leaves the subjects out.
2. The warehouse's rows go in one transaction that takes the writer's lock first, behind every load that read the list
   before.
3. The plans of runs are read, then the pointers; every day of either is swapped. Where the day has no row of the subjects
   only the pointer changes, and its sequence, so that plans made before cannot swap. Where there is no pointer, the first
   one names a generation that contains nothing.
4. The plans of runs are read once more. Whoever wrote a file before the last swap stands there: a plan is stored before
   anything is written. The files of all these attempts that no generation names from now on are for deletion, and the
   evidence closes, once the attempts have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from headrace_core.errors import BadData
from headrace_core.lake import Generation
from headrace_core.pipeline_run import DayResult
from headrace_spark.erasing import days_to_swap, still_running
from headrace_spark.planning import DayState
from headrace_spark.ports import LakeRecords, PlannedAttempt, SubjectRows, Suppressions, WarehouseSubjects
from headrace_spark.settling import (
    MOST_PLANS_PER_DAY,
    DayJob,
    Revision,
    RunIdentity,
    apply_generation,
    check_time,
    lost_swaps,
    settle_day,
    swapped_day,
)

__all__ = ["EraseJob", "Erased", "erase", "erase_day", "runs_to_wait_for"]


@dataclass(frozen=True, slots=True)
class EraseJob:
    """The ports of an erasure. ``days`` are those of a daily run; its gate reports and stops nothing."""

    days: DayJob
    records: LakeRecords
    rows: SubjectRows
    subjects: WarehouseSubjects


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure has done: rows deleted by table, the days that it swapped, and the attempts, its own among them, that
    had planned before its last swap: their files may hold the subjects' rows."""

    deleted: Mapping[str, int]
    days: tuple[DayResult, ...]
    planned_before: frozenset[tuple[str, int]]


async def erase(job: EraseJob, run: RunIdentity, subjects: Suppressions) -> Erased:
    """Everything up to the last swap; ``subjects`` are expanded already. Repeating it changes nothing but sequences.
    Raises what `settle_day` raises."""
    await job.subjects.suppress(subjects)
    deleted = await job.subjects.delete(subjects)
    attempts = await job.records.attempts()
    pointers = await job.records.days()
    days = days_to_swap(attempts, pointers, own_run=run.run, now_ms=job.days.clock.now_ms())
    results = [await erase_day(job, run, day, subjects) for day in days]
    by_now = await job.records.attempts()
    planned = frozenset((each.run, each.attempt) for each in (*attempts, *by_now))
    return Erased(deleted, tuple(results), planned)


async def runs_to_wait_for(
    records: LakeRecords, planned_before: Collection[tuple[str, int]], *, own_run: str, now_ms: int
) -> list[PlannedAttempt]:
    """The attempts of other runs that still may swap, or write; the evidence closes when there are none."""
    attempts = await records.attempts()
    return still_running(attempts, planned_before, own_run=own_run, now_ms=now_ms)


async def erase_day(job: EraseJob, run: RunIdentity, day: str, subjects: Suppressions) -> DayResult:
    """Swap one day to a generation without the subjects."""
    for _ in range(MOST_PLANS_PER_DAY):
        state = await job.records.state(day)
        if await _holds(job, state, day, subjects):
            return await settle_day(job.days, run, day, revision=Revision(reads_new=False))
        if result := await _repoint(job, run, day, state):
            return result
    raise lost_swaps(day)


async def _holds(job: EraseJob, state: DayState, day: str, subjects: Suppressions) -> bool:
    """Whether the day has a row of the subjects; also where it cannot be looked at because another erasure replaced it:
    then it is settled from what is there now."""
    if state.generation is None:
        return False
    try:
        return await job.rows.holds(state.generation, subjects)
    except BadData:
        if (await job.records.state(day)).pointer == state.pointer:
            raise
        return True


async def _repoint(job: EraseJob, run: RunIdentity, day: str, state: DayState) -> DayResult | None:
    """The same files under a new pointer; None where the day was swapped meanwhile. No plan is stored: this generation
    has no input that another erasure would have to look at, and is as good as the one that it repeats."""
    generation = _same_files(job, run, day, state)
    await job.days.lake.store_generation(generation)
    check_time(job.days, run, day)
    sequence = await job.days.lake.swap(generation, state.pointer)
    if sequence is None:
        return None
    applied = await apply_generation(job.days, run, generation, sequence)
    return swapped_day(generation, sequence, applied)


def _same_files(job: EraseJob, run: RunIdentity, day: str, state: DayState) -> Generation:
    identity, made_ms = run.next_plan(), job.days.clock.now_ms()
    before = state.generation
    if before is None or state.pointer is None:
        return Generation(id=identity, job=run.job, event_date=day, made_ms=made_ms)
    return msgspec.structs.replace(
        before, id=identity, job=run.job, previous=state.pointer.result, made_ms=made_ms
    )
