"""Brings a day's event files to their size: the same rows in other files, as a new generation (rules B1 and B2).

It is the protocol of `headrace_spark.settling` without a choice of rows: nothing is read but the generation, so what it
contains and how its neighbours looked is taken over, and a later plan of the day or of a neighbour finds nothing new. An
erasure that is committed meanwhile has swapped the day, and the plan loses; or it comes after the swap and sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from headrace_core.clock import Clock
from headrace_core.errors import BadData, RetryLater
from headrace_core.events import SCHEMA_VERSION
from headrace_core.lake import DayInput, Generation, LakeFile, Plan
from headrace_core.paths import parse_lake_key
from headrace_core.pipeline_run import RETENTION, DayResult
from headrace_spark.lake_store import CurrentDay, LakeStore
from headrace_spark.planning import DayState
from headrace_spark.run_time import check_ends_by
from headrace_spark.settling import MOST_PLANS_PER_DAY, RunIdentity, lost_swaps

__all__ = ["Compaction", "LooseHour", "Rewriter", "closed_days", "compact_day", "compact_days", "loose_hours"]

_DAY_MS = 86_400_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LooseHour:
    """An hour (0 to 23) whose files are to be written anew, into about so many."""

    hour: int
    files: tuple[LakeFile, ...]
    into: int


class Rewriter(Protocol):
    """Writes event files anew."""

    async def rewrite(self, plan: Plan, hours: Sequence[LooseHour]) -> tuple[LakeFile, ...]:
        """The same rows, sorted by event time within each hour, under the plan's own prefix. BadData where what was
        written is not what was read, row for row."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """The ports of a compaction."""

    lake: LakeStore
    rewriter: Rewriter
    clock: Clock


def loose_hours(files: Sequence[LakeFile], target_bytes: int) -> list[LooseHour]:
    """The hours whose files are not of the size wanted, in their order: more than one, and on average below half of it, or
    one that is more than twice as large. Written anew they are once to twice that size, so that an hour that was just written
    stays as it is, also where sorting halved it."""
    by_hour: dict[int, list[LakeFile]] = {}
    for file in files:
        by_hour.setdefault(_hour(file), []).append(file)
    loose = []
    for hour, of_hour in sorted(by_hour.items()):
        size_bytes = sum(file.bytes for file in of_hour)
        too_many = len(of_hour) > max(1, 2 * size_bytes // target_bytes)
        if too_many or max(file.bytes for file in of_hour) > 2 * target_bytes:
            loose.append(LooseHour(hour, tuple(of_hour), max(1, size_bytes // target_bytes)))
    return loose


def closed_days(states: Mapping[str, DayState], *, now_ms: int) -> list[str]:
    """The days that late rows seldom reach any more, oldest first: those that ended a day ago. A day that a reprocess made
    anew is left alone while its undo is possible, since a later generation ends that."""
    last = str((datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(days=2)).date())
    return [
        day
        for day, state in sorted(states.items())
        if day <= last and state.generation is not None and not _may_be_undone(state.generation, now_ms)
    ]


def _may_be_undone(generation: Generation, now_ms: int) -> bool:
    undo_ms = RETENTION.generation_days * _DAY_MS
    return generation.job == "reprocess" and now_ms - generation.made_ms <= undo_ms


async def compact_days(
    job: Compaction,
    run: RunIdentity,
    days: Sequence[str],
    target_bytes: int,
    *,
    finish: Callable[[DayResult], None],
) -> tuple[list[DayResult], list[BadData]]:
    """Each day's result, in order, and the errors of the days whose files are torn: these are ``stopped``, and the others
    go on. ``finish`` is told of every day as it is done. Else raises what `compact_day` raises."""
    results: list[DayResult] = []
    torn: list[BadData] = []
    for day in days:
        try:
            result = await compact_day(job, run, day, target_bytes)
        except BadData as error:
            _log.error("A day cannot be compacted.", extra={"day": day, "error": str(error)})
            torn.append(error)
            result = DayResult(
                event_date=day, outcome="stopped", why=f"{error.what} {error.why or ''}".strip()
            )
        finish(result)
        results.append(result)
    return results, torn


async def compact_day(job: Compaction, run: RunIdentity, day: str, target_bytes: int) -> DayResult:
    """One day. Raises RetryLater where other runs keep swapping it, or the run's time is over; BadData where its files are
    torn; Unavailable where a dependency does not answer."""
    for _ in range(MOST_PLANS_PER_DAY):
        current = await job.lake.read_day(day)
        generation = current.generation
        if generation is None or current.pointer is None:
            return DayResult(event_date=day, outcome="unchanged", why="The day has no generation yet.")
        hours = loose_hours(generation.files("events"), target_bytes)
        if not hours:
            return _unchanged(current, generation)
        plan = _plan(job, run, current, generation)
        if run.dry_run:
            return DayResult(event_date=day, outcome="planned", counts=_counts(hours))
        await job.lake.store_plan(plan)
        try:
            if result := await _carry_out(job, plan, generation, hours):
                return result
        except BadData:
            # An erasure deletes the files that it replaced: where the day has moved, they are gone, not torn.
            if (await job.lake.read_day(day)).pointer == current.pointer:
                raise
        _log.info("Another run swapped the day first: planning anew.", extra={"day": day})
    raise lost_swaps(day)


def _plan(job: Compaction, run: RunIdentity, current: CurrentDay, generation: Generation) -> Plan:
    _check_version(generation)
    return Plan(
        id=run.next_plan(),
        job=run.job,
        day=DayInput(event_date=current.event_date, pointer=current.pointer),
        seen=generation.seen,
        edges_offset=generation.edges_offset,
        versions=generation.versions,
        made_ms=job.clock.now_ms(),
        ends_by_ms=run.ends_by_ms,
    )


async def _carry_out(
    job: Compaction, plan: Plan, before: Generation, hours: Sequence[LooseHour]
) -> DayResult | None:
    """The day's result; None where the pointer was swapped meanwhile."""
    assert plan.day.pointer is not None
    made = await job.rewriter.rewrite(plan, hours)
    _check_rows(plan, hours, made)
    after = _generation(plan, before, hours, made, job.clock.now_ms())
    key = await job.lake.store_generation(after)
    check_ends_by(plan.ends_by_ms, job.clock.now_ms(), plan.day.event_date)
    sequence = await job.lake.swap(after.event_date, plan.day.pointer, key, now_ms=job.clock.now_ms())
    if sequence is None:
        return None
    return DayResult(
        event_date=after.event_date,
        outcome="swapped",
        generation=after.id.generation,
        sequence=sequence,
        counts={
            **_counts(hours),
            "files_written": len(made),
            "bytes_written": sum(file.bytes for file in made),
        },
    )


def _generation(
    plan: Plan, before: Generation, hours: Sequence[LooseHour], made: Sequence[LakeFile], made_ms: int
) -> Generation:
    """The generation before with other event files; aggregates and all that plans compare are taken over."""
    assert plan.day.pointer is not None
    replaced = {file.key for hour in hours for file in hour.files}
    kept = [file for file in before.files("events") if file.key not in replaced]
    events = tuple(sorted([*kept, *made], key=_place))
    return msgspec.structs.replace(
        before,
        id=plan.id,
        job=plan.job,
        previous=plan.day.pointer.result,
        tables={**before.tables, "events": events},
        made_ms=made_ms,
    )


def _unchanged(current: CurrentDay, generation: Generation) -> DayResult:
    return DayResult(
        event_date=current.event_date,
        outcome="unchanged",
        generation=generation.id.generation,
        sequence=None if current.pointer is None else current.pointer.sequence,
    )


def _counts(hours: Sequence[LooseHour]) -> dict[str, int]:
    files = [file for hour in hours for file in hour.files]
    return {
        "hours": len(hours),
        "rows": sum(file.rows for file in files),
        "files_read": len(files),
        "bytes_read": sum(file.bytes for file in files),
    }


def _hour(file: LakeFile) -> int:
    place = parse_lake_key(file.key)
    if place is None or place.hour is None:
        raise BadData(
            "A generation lists a file of events that is of no hour.",
            why=f"Its key is {file.key}.",
            fix="Have the day made anew.",
            code="lake_key",
        )
    return place.hour


def _place(file: LakeFile) -> tuple[int, str]:
    return _hour(file), file.key


def _check_rows(plan: Plan, hours: Sequence[LooseHour], made: Sequence[LakeFile]) -> None:
    read = sum(file.rows for hour in hours for file in hour.files)
    written = sum(file.rows for file in made)
    if read != written:
        raise BadData(
            f"The compaction of {plan.day.event_date} did not keep its rows; the day stays as it is.",
            why=f"The generation lists {read} rows in the files that were read, {written} were written.",
            fix="Compare the files with the digests in result.json and restore what differs from its bucket version.",
            code="rows_differ",
        )


def _check_version(generation: Generation) -> None:
    if generation.versions.schema_version > SCHEMA_VERSION:
        raise RetryLater(
            f"The generation of {generation.event_date} was made by a newer version.",
            why=f"Its rows have schema version {generation.versions.schema_version}, this job knows {SCHEMA_VERSION}.",
            fix="Run the job with the image of the version that daily runs with.",
            code="newer_schema",
        )
