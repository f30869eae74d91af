"""`python -m tests.support.slow_job NAME` runs a job that Spark would take for ever over, after it has finished one day."""

from __future__ import annotations

import os
import sys

from headrace_core.clock import SystemClock
from headrace_core.pipeline_run import DayResult, RunSpec
from headrace_runtime.process import run
from headrace_runtime.settings import load_settings
from headrace_spark.attempt_run import run_attempt
from headrace_spark.context import Context
from headrace_spark.outcome import Attempt, JobOutcome
from headrace_spark.settings import SparkSettings

__all__ = ["main"]


async def _job(context: Context, _spec: RunSpec) -> JobOutcome:
    with context.progress.stage("quick") as stage:
        stage.rows = await context.spark.run(lambda session: session.range(10).count())
    context.finish_day(DayResult(event_date="2026-11-27", outcome="unchanged"))
    sys.stderr.write("Spark is busy now.\n")
    sys.stderr.flush()
    with context.progress.stage("endless"):
        await context.spark.run(lambda session: session.range(10**15).selectExpr("sum(id % 7)").collect())
    return JobOutcome()


def main(name: str) -> int:
    """Run it as attempt 1; the exit code."""
    settings = load_settings(SparkSettings, os.environ)
    spec = RunSpec(job="daily", date="2026-11-27", deadline_seconds=300)
    attempt = Attempt(name, 1, spec.job, spec.dry_run, SystemClock().now_ms())
    return run("spark", settings, lambda life: run_attempt(life, settings, attempt, spec, _job))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
