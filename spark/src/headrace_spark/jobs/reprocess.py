"""Job ``reprocess``: makes rows of the days asked for anew from their raw records, by this code and its mappings (rule B4).

Days that a row enters are swapped before the days that it leaves. With ``undo`` the days of an earlier run get the
generations back that they had before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from headrace_core.errors import HeadraceError, UsageError
from headrace_core.paths import run_report_key
from headrace_core.pipeline_run import DayResult, ReprocessParameters, RunSpec
from headrace_spark.context import Context
from headrace_spark.day_job import day_job
from headrace_spark.kept_files import check_kept
from headrace_spark.outcome import JobOutcome
from headrace_spark.reprocess_report import ReprocessReport, encode_report
from headrace_spark.reprocess_survey import Survey, changes_prefix, read_specs, survey
from headrace_spark.reprocessing import DayStep, check_undo, order_days
from headrace_spark.revised_rows import RowRevision
from headrace_spark.settling import DayJob, Revision, RunIdentity, settle_day
from headrace_spark.store_records import StoreRecords
from headrace_spark.undoing import undo_run

__all__ = ["reprocess", "run"]

_log = logging.getLogger(__name__)

JobOf = Callable[[RowRevision | None], DayJob]
"""Makes the ports of a day's job, for one that revises stored rows or not."""


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """The days asked for, or the undo of a run."""

    def job_of(revision: RowRevision | None) -> DayJob:
        return day_job(
            context.settings,
            context.store,
            context.clock,
            context.spark,
            context.progress,
            revision=revision,
        )

    return await reprocess(context, spec, job_of)


async def reprocess(context: Context, spec: RunSpec, job_of: JobOf) -> JobOutcome:
    """As `run`, over given ports. Raises UsageError where an undo is refused or a mapping is not there."""
    asked = spec.reprocess or ReprocessParameters()
    identity = RunIdentity(
        "reprocess", context.attempt.run, context.attempt.attempt, context.ends_by_ms, dry_run=spec.dry_run
    )
    if asked.undo is not None:
        return await _undo(context, job_of(None), identity, asked.undo)
    _check_mappings(context, asked.mappings)
    job = job_of(None)
    try:
        found = await survey(
            context, await job.lake.inputs(), [day.isoformat() for day in spec.days()], asked
        )
        report = await _store_report(context, found.report)
        days = await _make_days(context, job_of, identity, found)
    finally:
        await _drop_changes(context)
    return JobOutcome(tuple(days), _totals(found.report, days), (report,))


def _check_mappings(context: Context, named: Sequence[str]) -> None:
    known = {f"{spec.name}@{spec.version}" for spec in read_specs(context.settings.mappings_dir)}
    if missing := sorted(set(named) - known):
        raise UsageError(
            f"The mapping {missing[0]} is not deployed here.",
            why=f"HEADRACE_MAPPINGS_DIR holds: {', '.join(sorted(known)) or 'none'}.",
            fix="Put its file into the folder, or correct spec.reprocess.mappings.",
            code="mapping_missing",
        )


async def _store_report(context: Context, report: ReprocessReport) -> str:
    key = run_report_key(context.attempt.run, context.attempt.attempt, "reprocess.json")
    await context.store.put(key, encode_report(report), deadline_s=context.settings.store_deadline_s)
    return key


async def _make_days(
    context: Context, job_of: JobOf, identity: RunIdentity, found: Survey
) -> list[DayResult]:
    results: list[DayResult] = []
    for step in order_days(found.moves):
        result = _planned(step) if identity.dry_run else await _make_day(job_of, identity, found, step)
        context.finish_day(result)
        results.append(result)
    return results


async def _make_day(job_of: JobOf, identity: RunIdentity, found: Survey, step: DayStep) -> DayResult:
    job = job_of(RowRevision(found.changed, step.keeps_leaving))
    return await settle_day(job, identity, step.day, revision=Revision(contains=step.contains))


def _planned(step: DayStep) -> DayResult:
    return DayResult(event_date=step.day, outcome="planned")


async def _drop_changes(context: Context) -> None:
    """They hold events, which nobody needs twice. Where they cannot be deleted, or an attempt dies before, retention finds
    them: that is no failure of the run, and must not hide one."""
    deadline_s = context.settings.store_deadline_s
    try:
        entries = await context.store.list(changes_prefix(context), deadline_s=deadline_s)
        await context.store.delete([entry.key for entry in entries], deadline_s=deadline_s)
    except HeadraceError as error:
        _log.warning("Changed rows stay until retention removes them.", extra={"error": str(error)})


def _totals(report: ReprocessReport, days: Sequence[DayResult]) -> dict[str, int]:
    swapped = {day.event_date for day in days if day.outcome == "swapped"}
    return {"days": len({day.event_date for day in days}), "days_swapped": len(swapped), **report.counts}


async def _undo(context: Context, job: DayJob, identity: RunIdentity, undone: str) -> JobOutcome:
    records = StoreRecords(context.store, deadline_s=context.settings.store_deadline_s)
    left = await _left_to_undo(context, records, identity, undone)
    if identity.dry_run:
        results = [DayResult(event_date=day, outcome="planned") for day in left]
    else:
        results = await undo_run(job, records, identity, undone)
    for result in results:
        context.finish_day(result)
    swapped = sum(result.outcome == "swapped" for result in results)
    return JobOutcome(tuple(results), {"days": len(results), "days_swapped": swapped})


async def _left_to_undo(
    context: Context, records: StoreRecords, identity: RunIdentity, undone: str
) -> list[str]:
    """The days to take back, once it is known that each can be: all of a run goes, or nothing."""
    days = sorted({day for attempt in await records.attempts(undone) for day in attempt.days})
    histories = {day: await records.history(day) for day in days}
    left = check_undo(undone, identity.run, histories)
    for day in left:
        before = next((each for each in histories[day] if each.id.run != undone), None)
        if before is not None:
            await check_kept(context.store, before, deadline_s=context.settings.store_deadline_s)
    return left
