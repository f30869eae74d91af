"""Brings one day to a new generation: plan, compute, check, swap, apply (rules B1 to B3). Ports only, no Spark, no I/O.

The order is the protocol. The plan is stored before the suppression list is read, so that an erasure which does not see
the plan was committed in time for the list. The swap uses the pointer that the plan saw: whoever lost plans anew. The
warehouse comes after the swap and refuses a sequence that is not above the one it has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from headrace_core.clock import Clock
from headrace_core.errors import BadData, RetryLater, Unavailable
from headrace_core.lake import Generation, Plan, PlanId
from headrace_core.paths import edges_key
from headrace_core.pipeline_run import DayResult
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.planning import Inputs, is_current, make_plan, neighbours_of
from headrace_spark.ports import Applied, DayEngine, EdgeSource, Gate, Lake, Made, WarehouseDay
from headrace_spark.run_time import check_ends_by

__all__ = [
    "APPLY_PAUSES_S",
    "MOST_PLANS_PER_DAY",
    "DayJob",
    "Revision",
    "RunIdentity",
    "apply_generation",
    "check_time",
    "lost_swaps",
    "settle_day",
    "swapped_day",
]

_log = logging.getLogger(__name__)

MOST_PLANS_PER_DAY = 3
"""A day whose pointer moved away this often in one run is somebody else's: the run is tried again later."""

APPLY_PAUSES_S = (1.0, 5.0, 25.0)
"""Seconds between the tries to bring the warehouse to a generation. Past them the attempt fails, and the next one goes on."""

_SUPERSEDED = "The warehouse had a later generation of the day already."


@dataclass(slots=True)
class RunIdentity:
    """Which attempt plans, and until when it may swap. Numbers its plans."""

    job: str
    run: str
    attempt: int
    ends_by_ms: int
    dry_run: bool = False
    plans: int = 0

    def next_plan(self) -> PlanId:
        """The id of the next plan of this attempt."""
        self.plans += 1
        return PlanId(run=self.run, attempt=self.attempt, plan=self.plans)


@dataclass(frozen=True, slots=True)
class DayJob:
    """The ports of a job. ``stage`` measures a named step, and shows it to people; ``sleep`` waits so many seconds."""

    lake: Lake
    edges: EdgeSource
    engine: DayEngine
    gate: Gate
    warehouse: WarehouseDay
    clock: Clock
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Revision:
    """Why a day is made anew though nothing new came in: a reprocess or an erasure changes rows that it holds.

    ``contains`` are keys of staged files whose rows enter the day by the revision. ``reads_new`` off: files that the day
    does not contain wait for a daily.
    """

    contains: frozenset[str] = frozenset()
    reads_new: bool = True


async def settle_day(
    job: DayJob, run: RunIdentity, day: str, *, revision: Revision | None = None
) -> DayResult:
    """One day, brought up to date in lake and warehouse; with a revision it is made anew in any case, by an engine that
    knows what changes. Raises RetryLater where other runs keep swapping it, or the run's time is over; BadData where the
    gate stops it; Unavailable where a dependency does not answer."""
    gone: BadData | None = None
    for _ in range(MOST_PLANS_PER_DAY):
        inputs = await job.lake.inputs()
        try:
            if result := await _settle(job, run, day, inputs, revision):
                return result
        except BadData as error:
            if not await _has_moved(job, inputs, day):
                raise
            gone = error
        _log.info("Another run swapped the day first: planning anew.", extra={"day": day})
    raise lost_swaps(day) from gone


async def _settle(
    job: DayJob, run: RunIdentity, day: str, inputs: Inputs, revision: Revision | None
) -> DayResult | None:
    """One plan of the day; its result, or None where the pointer was swapped meanwhile."""
    edges = await job.edges.read()
    if revision is None and _has_nothing(inputs, day):
        return DayResult(event_date=day, outcome="unchanged", why="No staged file holds a row of the day.")
    if revision is None and _is_settled(inputs, day, edges):
        return await _apply_current(job, run, inputs, day)
    plan = _plan(job, run, inputs, day, edges)
    if revision is not None:
        read = plan.day.read if revision.reads_new else ()
        day_input = msgspec.structs.replace(plan.day, read=read)
        plan = msgspec.structs.replace(plan, day=day_input, revises=True)
    if run.dry_run:
        return _planned(plan)
    await job.lake.store_plan(plan, edges)
    return await _carry_out(job, run, _Work(plan, inputs, edges, revision))


async def _has_moved(job: DayJob, inputs: Inputs, day: str) -> bool:
    """Whether a pointer that a plan of the day read is another one now. Then a file that was bad may only be gone: an
    erasure deletes the generations that it replaced."""
    now = await job.lake.inputs()
    days = {day, *neighbours_of(day), *inputs.earlier(day)}
    return any(inputs.state(each).pointer != now.state(each).pointer for each in days)


def lost_swaps(day: str) -> RetryLater:
    """The error of a run whose every plan of a day lost its swap."""
    return RetryLater(
        f"The generation of {day} was swapped by other runs {MOST_PLANS_PER_DAY} times in a row.",
        why="Several runs of the day are at work at once.",
        fix="Nothing: the run is tried again. To see who they are: headrace run list.",
        code="swap_lost",
    )


def _has_nothing(inputs: Inputs, day: str) -> bool:
    return inputs.state(day).pointer is None and not inputs.day(day).read


def _is_settled(inputs: Inputs, day: str, edges: EdgeSnapshot) -> bool:
    """Whether a plan would read what the current generation was made from, edges included."""
    generation = inputs.state(day).generation
    return generation is not None and is_current(inputs, day) and generation.edges_offset == edges.offset


def _plan(job: DayJob, run: RunIdentity, inputs: Inputs, day: str, edges: EdgeSnapshot) -> Plan:
    plan_id = run.next_plan()
    return make_plan(
        inputs,
        day,
        plan_id,
        job=run.job,
        edges=edges_key(plan_id.run, plan_id.attempt, plan_id.plan),
        edges_offset=edges.offset,
        made_ms=job.clock.now_ms(),
        ends_by_ms=run.ends_by_ms,
    )


def _planned(plan: Plan) -> DayResult:
    files, rows = len(plan.day.read), plan.day.rows
    counts = {"files_to_read": files, "rows_to_read": rows}
    return DayResult(event_date=plan.day.event_date, outcome="planned", counts=counts)


@dataclass(frozen=True, slots=True)
class _Work:
    """A stored plan, and what it was made from."""

    plan: Plan
    inputs: Inputs
    edges: EdgeSnapshot
    revision: Revision | None


async def _carry_out(job: DayJob, run: RunIdentity, work: _Work) -> DayResult | None:
    """The day's result; None where the pointer was swapped meanwhile."""
    plan = work.plan
    suppressed = await job.warehouse.suppressed()
    made = await job.engine.make(plan, _generations(work.inputs, plan), work.edges, suppressed)
    with job.stage("quality"):
        reports = await job.gate.check(plan, made)
    generation = _generation(work, made, job.clock.now_ms())
    await job.lake.store_generation(generation)
    check_time(job, run, plan.day.event_date)
    sequence = await job.lake.swap(generation, plan.day.pointer)
    if sequence is None:
        return None
    applied = await apply_generation(job, run, generation, sequence)
    return swapped_day(generation, sequence, applied, counts=made.counts, reports=reports)


def _generations(inputs: Inputs, plan: Plan) -> Mapping[str, Generation]:
    days = {plan.day.event_date, *plan.earlier, *(neighbour.event_date for neighbour in plan.neighbours)}
    return {day: generation for day in days if (generation := inputs.state(day).generation) is not None}


def _generation(work: _Work, made: Made, made_ms: int) -> Generation:
    plan, revision = work.plan, work.revision
    state = work.inputs.state(plan.day.event_date)
    entered = frozenset[str]() if revision is None else revision.contains
    return Generation(
        id=plan.id,
        job=plan.job,
        event_date=plan.day.event_date,
        previous=None if plan.day.pointer is None else plan.day.pointer.result,
        contains=tuple(sorted(state.contains | entered | {file.key for file in plan.day.read})),
        seen=plan.seen,
        tables=dict(made.tables),
        counts=dict(made.counts),
        edges_offset=plan.edges_offset,
        revision=state.revision if revision is None else plan.id.generation,
        versions=plan.versions,
        made_ms=made_ms,
    )


def check_time(job: DayJob, run: RunIdentity, day: str) -> None:
    """RetryLater where the run's time is over: before a swap, and before rows are written (rule B1)."""
    check_ends_by(run.ends_by_ms, job.clock.now_ms(), day)


async def apply_generation(job: DayJob, run: RunIdentity, generation: Generation, sequence: int) -> Applied:
    """Bring the warehouse to a generation that was swapped in. What may pass (a lost connection, a transaction that lost
    against another) is tried again a few times, each time only while the run's time lasts. Raises what that raises."""
    with job.stage("warehouse"):
        for pause_s in APPLY_PAUSES_S:
            check_time(job, run, generation.event_date)
            try:
                return await job.warehouse.apply(generation, sequence)
            except Unavailable as error:
                day = {"day": generation.event_date, "error": str(error), "pause_s": pause_s}
                _log.warning("The warehouse did not take the day: trying again.", extra=day)
            await job.sleep(pause_s)
        check_time(job, run, generation.event_date)
        return await job.warehouse.apply(generation, sequence)


def swapped_day(
    generation: Generation,
    sequence: int,
    applied: Applied,
    *,
    counts: Mapping[str, int] = MappingProxyType({}),
    reports: Collection[str] = (),
) -> DayResult:
    """The result of a day that was swapped and applied; ``counts`` are those of making it."""
    return DayResult(
        event_date=generation.event_date,
        outcome="swapped",
        generation=generation.id.generation,
        sequence=sequence,
        counts={**counts, **applied.counts},
        reports=tuple(reports),
        why=_SUPERSEDED if applied.superseded else None,
    )


async def _apply_current(job: DayJob, run: RunIdentity, inputs: Inputs, day: str) -> DayResult:
    """The lake is up to date; the warehouse may not be, where an attempt ended between swap and load."""
    state = inputs.state(day)
    assert state.pointer is not None
    assert state.generation is not None
    applied = Applied()
    if not run.dry_run and await job.warehouse.sequence(day) < state.pointer.sequence:
        applied = await apply_generation(job, run, state.generation, state.pointer.sequence)
    return DayResult(
        event_date=day,
        outcome="unchanged",
        generation=state.generation.id.generation,
        sequence=state.pointer.sequence,
        counts=dict(applied.counts),
        why=_SUPERSEDED if applied.superseded else None,
    )
