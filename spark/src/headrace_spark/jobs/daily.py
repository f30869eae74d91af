"""Job ``daily``: brings the days asked for to a new generation, then every other day that has fallen behind, oldest first."""

from __future__ import annotations

from datetime import UTC, date, datetime

from headrace_core.errors import RetryLater
from headrace_core.pipeline_run import DailyParameters, DayResult, RunSpec
from headrace_spark.context import Context
from headrace_spark.day_by_day import refusal, settle_each
from headrace_spark.day_job import day_job
from headrace_spark.outcome import JobOutcome, totals
from headrace_spark.planning import days_behind
from headrace_spark.ports import CustomerTables
from headrace_spark.settling import DayJob, RunIdentity, settle_day
from headrace_spark.warehouse_customers import WarehouseCustomers

__all__ = ["daily", "run"]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """The days asked for, and those that are behind."""
    settings, asked = context.settings, spec.daily or DailyParameters()
    job = day_job(
        settings, context.store, context.clock, context.spark, context.progress, quality=asked.quality
    )
    return await daily(context, spec, job, WarehouseCustomers(settings.warehouse_dsn.get_secret_value()))


async def daily(context: Context, spec: RunSpec, job: DayJob, customers: CustomerTables) -> JobOutcome:
    """As `run`, over given ports. The days asked for come first, since somebody waits for them: they are settled before the
    others are looked for. BadData where days were refused, once all the others are done."""
    asked = spec.daily or DailyParameters()
    identity = RunIdentity(
        "daily", context.attempt.run, context.attempt.attempt, context.ends_by_ms, dry_run=spec.dry_run
    )

    async def settle(day: str) -> DayResult:
        return await settle_day(job, identity, day)

    named = [day.isoformat() for day in spec.days()]
    refused = await settle_each(named, settle, context.finish_day)
    others = await _others(job, context, named) if asked.catch_up else []
    refused |= await settle_each(others, settle, context.finish_day)
    counts = {} if spec.dry_run else await _publish_customers(context, job, customers)
    if refused:
        raise refusal(refused)
    return JobOutcome(tuple(context.days), {**totals(context.days), **counts})


async def _publish_customers(context: Context, job: DayJob, customers: CustomerTables) -> dict[str, int]:
    """Who is who as of now, which events_resolved shows beside every row (rule B5)."""
    with context.progress.stage("customers"):
        try:
            return dict(await customers.publish_customers(job.edges))
        except RetryLater:
            return {}  # another run does it just now, from edges as new as these


async def _others(job: DayJob, context: Context, named: list[str]) -> list[str]:
    """Days that have ended and are behind: late rows, a run that failed, a neighbour that changed."""
    today: date = datetime.fromtimestamp(context.clock.now_ms() / 1000, UTC).date()
    return days_behind(await job.lake.inputs(), ended_before=today, besides=named)
