"""What a job is given, over a world of a test."""

from __future__ import annotations

import io

from tests.support.day_world import DayWorld

from headrace_core.pipeline_run import JobName
from headrace_spark.context import Context
from headrace_spark.outcome import Attempt
from headrace_spark.progress import Progress

__all__ = ["context_of"]


def context_of(world: DayWorld, job: JobName, run: str, *, dry_run: bool = False) -> Context:
    """The first attempt of a run, with ten minutes of time."""
    now_ms = world.clock.now_ms()
    return Context(
        attempt=Attempt(run, 1, job, dry_run, now_ms),
        settings=world.settings,
        clock=world.clock,
        store=world.store,
        lake=world.lake,
        spark=world.spark,
        progress=Progress(world.clock, io.StringIO(), lambda: None),
        ends_by_ms=now_ms + 600_000,
    )
