"""Job ``compact``: brings the event files of closed days to their size, and sorts closed days' verdicts by dedup id."""

from __future__ import annotations

from collections.abc import Sequence

from headrace_core.pipeline_run import CompactParameters, DayResult, RunSpec
from headrace_spark.compact_engine import SparkRewriter
from headrace_spark.compacting import Compaction, closed_days, compact_day
from headrace_spark.context import Context
from headrace_spark.outcome import JobOutcome, totals
from headrace_spark.settling import RunIdentity
from headrace_spark.store_lake import read_states

__all__ = ["run"]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """The days named, or every closed day, oldest first."""
    asked = spec.compact or CompactParameters()
    attempt = context.attempt
    identity = RunIdentity("compact", attempt.run, attempt.attempt, context.ends_by_ms, dry_run=spec.dry_run)
    rewriter = SparkRewriter(context.spark, context.lake_files(), context.progress)
    job = Compaction(context.lake, rewriter, context.clock)
    results: list[DayResult] = []
    for day in await _days(context, spec):
        result = await compact_day(job, identity, day, asked.target_bytes)
        context.finish_day(result)
        if result.outcome != "unchanged" or spec.days():
            results.append(result)
    return JobOutcome(tuple(results), totals(results))


async def _days(context: Context, spec: RunSpec) -> Sequence[str]:
    if spec.days():
        return [day.isoformat() for day in spec.days()]
    with context.progress.stage("read pointers"):
        states = await read_states(context.lake, await context.lake.days())
    return closed_days(states, now_ms=context.clock.now_ms())
