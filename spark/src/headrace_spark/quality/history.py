"""Reads the metrics of the days before a day: what their current generations' reports hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from headrace_core.errors import BadData
from headrace_core.lake import Generation
from headrace_core.paths import report_key
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.quality.expectations import HISTORY_DAYS
from headrace_spark.quality.metrics import UNREADABLE, DayMetrics, GivenCounts, decode_metrics
from headrace_spark.quality.report import METRICS_NAME

__all__ = [
    "KnownCounts",
    "keep_metrics",
    "metrics_key",
    "read_counts",
    "read_history",
    "read_metrics",
    "same_rows",
    "same_shares",
]

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

    # Not a TaskGroup: callers look for the error itself, not for a group of it.
    return _known(await asyncio.gather(*(read(back) for back in range(HISTORY_DAYS, 0, -1))))


def _known(days: Sequence[DayMetrics | None]) -> list[DayMetrics]:
    return [day for day in days if day is not None]


def same_rows(after: Generation, before: Generation) -> bool:
    """Whether two generations of a day that follow each other hold the same rows: a compaction proves it row for row, and a
    plan that read nothing new names the same files."""
    return after.job == "compact" or after.files("events") == before.files("events")


def same_shares(after: Generation, before: Generation) -> bool:
    """Whether what was measured of the generation before may stand for the one after as history. An erasure takes out the
    rows of some people, and would else take their days out of eight weeks of comparisons."""
    return after.job == "erase" or same_rows(after, before)


async def read_metrics(
    store: ObjectStore,
    lake: LakeStore,
    generation: Generation,
    *,
    deadline_s: float,
    may_stand_for: Callable[[Generation, Generation], bool] = same_shares,
) -> DayMetrics | None:
    """The metrics of a generation, or of the last one before it that was measured, as far back as ``may_stand_for`` allows
    of each and the one before; None where none was. BadData (`metrics_unreadable`) names the day."""
    for _ in range(_GENERATIONS_BACK):
        try:
            return _decoded(generation, await store.get(metrics_key(generation), deadline_s=deadline_s))
        except ObjectNotFound:
            pass
        if generation.previous is None:
            return None
        try:
            before = await lake.generation(generation.previous)
        except ObjectNotFound:
            return None
        if not may_stand_for(generation, before):
            return None
        generation = before
    return None


def _decoded(generation: Generation, data: bytes) -> DayMetrics:
    try:
        return decode_metrics(data)
    except BadData as error:
        raise BadData(
            f"The metrics of {generation.event_date} cannot be read.",
            why=f"{metrics_key(generation)}: {error.why}",
            fix=f"Run the job quality for {generation.event_date}: it measures the current generation again.",
            code=UNREADABLE,
        ) from error


@dataclass(frozen=True, slots=True)
class KnownCounts:
    """What an earlier job counted of the rows that a generation holds; None where nobody did, or where that is lost.
    ``is_torn``: metrics are there that cannot be read, and are to be replaced."""

    given: GivenCounts | None
    is_torn: bool = False


async def read_counts(
    store: ObjectStore, lake: LakeStore, generation: Generation, *, deadline_s: float
) -> KnownCounts:
    """The counts of a generation, or of one before it with the same rows."""
    try:
        known = await read_metrics(store, lake, generation, deadline_s=deadline_s, may_stand_for=same_rows)
    except BadData as error:
        if error.code != UNREADABLE:
            raise
        return KnownCounts(None, is_torn=True)
    return KnownCounts(None if known is None else known.given)


async def keep_metrics(
    store: ObjectStore, generation: Generation, metrics: bytes, *, is_torn: bool, deadline_s: float
) -> None:
    """Store metrics beside their generation: where it has none, or in the place of torn ones."""
    key = metrics_key(generation)
    if is_torn:
        await store.put(key, metrics, deadline_s=deadline_s)
    else:
        await store.put_if_absent(key, metrics, deadline_s=deadline_s)
