"""Reads the metrics of the days before a day: what their current generations' reports hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta

from headrace_core.lake import Generation
from headrace_core.paths import report_key
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.quality.expectations import HISTORY_DAYS
from headrace_spark.quality.metrics import DayMetrics, decode_metrics
from headrace_spark.quality.report import METRICS_NAME

__all__ = ["metrics_key", "read_history", "read_metrics"]

_AT_ONCE = 8
_GENERATIONS_BACK = 4
"""A generation that only rewrites files (compact, erase) measures nothing; the one before it did."""


def metrics_key(generation: Generation) -> str:
    """Where the metrics of a generation are."""
    made = generation.id
    return report_key(made.run, made.attempt, made.plan, METRICS_NAME)


async def read_history(
    store: ObjectStore, lake: LakeStore, day: date, *, deadline_s: float
) -> list[DayMetrics]:
    """The metrics of the 56 days before ``day`` that have any, oldest first. Raises Unavailable; what is unreadable is
    BadData."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def read(back: int) -> DayMetrics | None:
        async with turns:
            current = await lake.read_day(str(day - timedelta(days=back)))
            if current.generation is None:
                return None
            return await read_metrics(store, lake, current.generation, deadline_s=deadline_s)

    async with asyncio.TaskGroup() as tasks:
        days = [tasks.create_task(read(back)) for back in range(HISTORY_DAYS, 0, -1)]
    return _known([task.result() for task in days])


def _known(days: Sequence[DayMetrics | None]) -> list[DayMetrics]:
    return [day for day in days if day is not None]


async def read_metrics(
    store: ObjectStore, lake: LakeStore, generation: Generation, *, deadline_s: float
) -> DayMetrics | None:
    """The metrics of a generation, or of the last one before it that was measured; None where none was."""
    for _ in range(_GENERATIONS_BACK):
        try:
            return decode_metrics(await store.get(metrics_key(generation), deadline_s=deadline_s))
        except ObjectNotFound:
            pass
        if generation.previous is None:
            return None
        try:
            generation = await lake.generation(generation.previous)
        except ObjectNotFound:
            return None
    return None
