"""Job ``compact``: brings the event files of closed days to their size, and sorts closed days' verdicts by dedup id."""

from __future__ import annotations

from collections.abc import Sequence

from headrace_core.pipeline_run import RETENTION, CompactParameters, DayResult, RunSpec
from headrace_spark.compact_engine import SparkRewriter
from headrace_spark.compacting import Compaction, closed_days, compact_days
from headrace_spark.context import Context
from headrace_spark.outcome import JobOutcome, totals
from headrace_spark.settling import RunIdentity
from headrace_spark.store_lake import read_states
from headrace_spark.verdict_days import VerdictSorting, sort_verdicts
from headrace_spark.verdict_engine import SparkSorter

__all__ = ["run"]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """The days named, or every closed day, oldest first. A day whose files are torn fails the run, once the others and the
    verdicts are done."""
    asked = spec.compact or CompactParameters()
    attempt = context.attempt
    identity = RunIdentity("compact", attempt.run, attempt.attempt, context.ends_by_ms, dry_run=spec.dry_run)
    rewriter = SparkRewriter(context.spark, context.lake_files(), context.progress)
    job = Compaction(context.lake, rewriter, context.clock)
    made, torn = await compact_days(
        job, identity, await _days(context, spec), asked.target_bytes, finish=context.finish_day
    )
    results = [result for result in made if result.outcome != "unchanged" or spec.days()]
    if asked.verdicts:
        results += await _sort_verdicts(context, identity)
    if torn:
        raise torn[0]
    return JobOutcome(tuple(results), totals(results))


async def _sort_verdicts(context: Context, identity: RunIdentity) -> list[DayResult]:
    """Days of verdicts are those of the log, whatever days of events were asked for."""
    settings = context.settings
    job = VerdictSorting(
        store=context.store,
        sorter=SparkSorter(context.spark, context.lake_files(), context.progress),
        clock=context.clock,
        partitions=settings.partitions,
        deadline_s=settings.store_deadline_s,
    )
    results = await sort_verdicts(job, identity, kept_days=RETENTION.staged_days)
    for result in results:
        context.finish_day(result)
    return results


async def _days(context: Context, spec: RunSpec) -> Sequence[str]:
    if spec.days():
        return [day.isoformat() for day in spec.days()]
    with context.progress.stage("read pointers"):
        states = await read_states(context.lake, await context.lake.days())
    return closed_days(states, now_ms=context.clock.now_ms())
