"""Whose metrics stand for whose rows, and what becomes of metrics that cannot be read."""

from datetime import date

import pytest

from headrace_core.errors import BadData
from headrace_core.lake import Generation, LakeFile, PlanId
from headrace_core.paths import generation_key
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.quality.history import (
    KnownCounts,
    keep_metrics,
    metrics_key,
    read_counts,
    read_history,
    read_metrics,
)
from headrace_spark.quality.metrics import DayMetrics, GivenCounts, encode_metrics

DEADLINE_S = 1.0
DAY = date(2026, 3, 2)
COUNTED = GivenCounts(rows_previous=0, rows_read=3, duplicates=1, suppressed=0)
METRICS = DayMetrics(event_date=str(DAY), rows=2, given=COUNTED)


class World:
    """A lake in memory with one day."""

    def __init__(self) -> None:
        self.store = MemoryObjectStore()
        self.lake = LakeStore(self.store, deadline_s=DEADLINE_S)

    async def made(self, job: str, file: str, before: Generation | None = None) -> Generation:
        """The day's next generation, which is swapped in."""
        previous = None if before is None else generation_key(before.id.run, 1, 1)
        made = Generation(
            id=PlanId(run=job if before is None else f"{before.id.run}-{job}", attempt=1, plan=1),
            job=job,
            event_date=str(DAY),
            previous=previous,
            tables={"events": (LakeFile(key=file, rows=2, bytes=9, sha256="0" * 64),)},
            made_ms=1,
        )
        current = await self.lake.read_day(str(DAY))
        await self.lake.swap(str(DAY), current.pointer, await self.lake.store_generation(made), now_ms=1)
        return made

    async def measured(self) -> Generation:
        """A day that its job measured."""
        made = await self.made("daily", "a")
        await self.store.put(metrics_key(made), encode_metrics(METRICS), deadline_s=DEADLINE_S)
        return made

    async def counts(self, generation: Generation) -> KnownCounts:
        """What is known of a generation's rows."""
        return await read_counts(self.store, self.lake, generation, deadline_s=DEADLINE_S)

    async def history(self) -> list[DayMetrics]:
        """What the day after is compared with."""
        return await read_history(self.store, self.lake, date(2026, 3, 3), deadline_s=DEADLINE_S)


@pytest.mark.parametrize(
    ("job", "file", "counts", "is_history"),
    [
        ("compact", "b", COUNTED, True),
        ("daily", "a", COUNTED, True),
        ("erase", "b", None, True),
        ("daily", "b", None, False),
        ("reprocess", "b", None, False),
    ],
)
async def test_metrics_stand_for_a_generation_with_the_same_rows(
    job: str, file: str, counts: GivenCounts | None, is_history: bool
) -> None:
    world = World()
    after = await world.made(job, file, await world.measured())
    assert await world.counts(after) == KnownCounts(counts)
    assert await world.history() == ([METRICS] if is_history else [])


async def test_they_stand_for_it_over_several_generations() -> None:
    world = World()
    once = await world.made("compact", "b", await world.measured())
    twice = await world.made("daily", "b", once)
    assert await world.counts(twice) == KnownCounts(COUNTED)
    changed = await world.made("daily", "c", twice)
    assert await world.counts(changed) == KnownCounts(None)


async def test_torn_metrics_name_their_day_and_are_replaced() -> None:
    world = World()
    made = await world.measured()
    await world.store.put(metrics_key(made), encode_metrics(METRICS)[:9], deadline_s=DEADLINE_S)
    with pytest.raises(BadData, match=f"The metrics of {DAY} cannot be read") as unreadable:
        await read_metrics(world.store, world.lake, made, deadline_s=DEADLINE_S)
    assert unreadable.value.code == "metrics_unreadable"
    with pytest.raises(BadData, match=str(DAY)):
        await world.history()
    known = await world.counts(made)
    assert known == KnownCounts(None, is_torn=True)
    await keep_metrics(
        world.store, made, encode_metrics(METRICS), is_torn=known.is_torn, deadline_s=DEADLINE_S
    )
    assert await world.history() == [METRICS]


async def test_metrics_that_can_be_read_are_kept() -> None:
    world = World()
    made = await world.measured()
    other = encode_metrics(DayMetrics(event_date=str(DAY), rows=5))
    await keep_metrics(world.store, made, other, is_torn=False, deadline_s=DEADLINE_S)
    assert await world.history() == [METRICS]
