"""Takes the generations of a run back, over ports (rule B4): all of its days, or none where a later generation followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace_core.errors import RetryLater
from headrace_core.lake import Generation, Plan, SeenPointer
from headrace_core.pipeline_run import DayResult
from headrace_spark.ports import LakeRecords
from headrace_spark.reprocessing import check_undo, restored, taken_back
from headrace_spark.settling import (
    DayJob,
    RunIdentity,
    apply_generation,
    check_time,
    lost_swaps,
    swapped_day,
)

__all__ = ["undo_run"]


@dataclass(frozen=True, slots=True)
class _Undo:
    job: DayJob
    records: LakeRecords
    run: RunIdentity
    undone: str
    plans: Sequence[Plan]


async def undo_run(job: DayJob, records: LakeRecords, run: RunIdentity, undone: str) -> list[DayResult]:
    """Take back the run ``undone``. Repeating it finishes what was begun. UsageError where a day of the run has moved on,
    RetryLater where the run has not ended; else raises what `settle_day` raises."""
    attempts = await records.attempts(undone)
    if any(attempt.may_swap(job.clock.now_ms()) for attempt in attempts):
        raise _not_ended(undone)
    plans = [plan for attempt in attempts for plan in attempt.plans]
    histories = {day: await records.history(day) for day in sorted({plan.day.event_date for plan in plans})}
    undo = _Undo(job, records, run, undone, plans)
    return [await _undo_day(undo, day) for day in check_undo(undone, run.run, histories)]


async def _undo_day(undo: _Undo, day: str) -> DayResult:
    """The day's swap is refused where anybody swapped since it was looked at."""
    job, run = undo.job, undo.run
    state, history = await undo.records.state(day), await undo.records.history(day)
    if not check_undo(undo.undone, run.run, {day: history}):
        raise lost_swaps(day)
    generation = _before(undo, day, state.pointer, history)
    await job.lake.store_generation(generation)
    check_time(job, run, day)
    sequence = await job.lake.swap(generation, state.pointer)
    if sequence is None:
        raise lost_swaps(day)
    applied = await apply_generation(job, run, generation, sequence)
    return swapped_day(generation, sequence, applied)


def _before(undo: _Undo, day: str, pointer: SeenPointer | None, history: Sequence[Generation]) -> Generation:
    made = {generation.id for generation in history if generation.id.run == undo.undone}
    taken = taken_back(undo.undone, history, [plan for plan in undo.plans if plan.id in made])
    if pointer is None or taken.current.id.run != undo.undone:
        raise lost_swaps(day)
    return restored(
        taken,
        undo.run.next_plan(),
        job=undo.run.job,
        previous=pointer.result,
        made_ms=undo.job.clock.now_ms(),
    )


def _not_ended(undone: str) -> RetryLater:
    return RetryLater(
        f"The run {undone} may still swap days.",
        why="It has no result that says it reached its end, and its time is not over.",
        fix="Cancel the run, or wait for its end; then take it back.",
        code="undone_run_active",
    )
