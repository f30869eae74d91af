"""Job ``retention``: deletes what is past its time, once the days whose staged files would be lost are made."""

from __future__ import annotations

from headrace_core.pipeline_run import RETENTION, DayResult, RunSpec
from headrace_spark.context import Context
from headrace_spark.day_job import day_job
from headrace_spark.outcome import JobOutcome
from headrace_spark.retaining import Retention
from headrace_spark.retention_holdings import HoldingsReader
from headrace_spark.settling import RunIdentity, settle_day

__all__ = ["run"]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """Look, settle, decide, report, delete; see `headrace_spark.retaining`."""
    settings = context.settings
    retention = Retention(
        attempt=context.attempt,
        store=context.store,
        reader=HoldingsReader(
            context.store, context.clock, partitions=settings.partitions, deadline_s=settings.store_deadline_s
        ),
        settle=_Settler(context, dry_run=spec.dry_run),
        progress=context.progress,
        deadline_s=settings.store_deadline_s,
        check_time=context.check_time,
    )
    return await retention.run(spec.retention or RETENTION)


class _Settler:
    """Brings a day up to date as ``daily`` does. A day that cannot be made is left to the error that says so."""

    def __init__(self, context: Context, *, dry_run: bool) -> None:
        self._context = context
        attempt = context.attempt
        self._identity = RunIdentity(
            "retention", attempt.run, attempt.attempt, context.ends_by_ms, dry_run=dry_run
        )
        self._job = day_job(context.settings, context.store, context.clock, context.spark, context.progress)

    async def __call__(self, day: str) -> DayResult:
        result = await settle_day(self._job, self._identity, day)
        self._context.finish_day(result)
        return result
