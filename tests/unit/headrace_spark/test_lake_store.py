"""Pointers are swapped once, objects are created once, and lost answers are settled by reading again."""

from __future__ import annotations

import asyncio

import pytest

from headrace_core.errors import BadData, UsageError
from headrace_core.lake import DayInput, Generation, Plan, PlanId, encode_lake
from headrace_core.paths import generation_key, pointer_key, run_result_key
from headrace_core.pipeline_run import RunResult
from headrace_runtime.errors_store import ObjectNotFound, StoreUnknown
from headrace_runtime.memory_store import MemoryObjectStore, WriteFault
from headrace_spark.lake_store import CurrentDay, LakeStore

DAY = "2026-11-28"
DEADLINE_S = 5.0


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def lake(store: MemoryObjectStore) -> LakeStore:
    return LakeStore(store, deadline_s=DEADLINE_S, retry_pause_s=0)


def plan_id(run: str, plan: int = 1) -> PlanId:
    return PlanId(run=run, attempt=1, plan=plan)


def generation(run: str, *, made_ms: int = 0) -> Generation:
    return Generation(id=plan_id(run), job="daily", event_date=DAY, made_ms=made_ms)


async def swapped(lake: LakeStore, run: str) -> int | None:
    """Store a generation of this run and swap the day to it, from what the day is now."""
    day = await lake.read_day(DAY)
    result = await lake.store_generation(generation(run))
    return await lake.swap(DAY, day.pointer, result, now_ms=1)


async def test_a_day_begins_without_a_pointer(lake: LakeStore) -> None:
    assert await lake.read_day(DAY) == CurrentDay(DAY)
    assert await lake.days() == []


async def test_a_swap_raises_the_sequence_and_names_the_generation(lake: LakeStore) -> None:
    assert [await swapped(lake, run) for run in ("a", "b", "c")] == [1, 2, 3]
    day = await lake.read_day(DAY)
    assert day.generation == generation("c")
    assert day.pointer is not None
    assert (day.pointer.sequence, day.pointer.result) == (3, generation_key("c", 1, 1))
    assert await lake.days() == [DAY]


@pytest.mark.parametrize("first", [True, False])
async def test_of_two_swaps_one_wins(lake: LakeStore, first: bool) -> None:
    if not first:
        await swapped(lake, "a")
    seen = (await lake.read_day(DAY)).pointer
    results = [await lake.store_generation(generation(run)) for run in ("b", "c")]
    won = await asyncio.gather(*(lake.swap(DAY, seen, result, now_ms=1) for result in results))
    assert sorted(number or 0 for number in won) == [0, 1 if first else 2]
    day = await lake.read_day(DAY)
    assert day.pointer is not None
    assert day.pointer.result == results[0 if won[0] else 1]


@pytest.mark.parametrize("faults", [[True], [False], [False, True], [False, False, True]])
@pytest.mark.parametrize("first", [True, False])
async def test_a_lost_answer_is_settled_by_reading_again(
    lake: LakeStore, store: MemoryObjectStore, first: bool, faults: list[bool]
) -> None:
    if not first:
        await swapped(lake, "a")
    seen = (await lake.read_day(DAY)).pointer
    result = await lake.store_generation(generation("b"))
    store.faults.extend(WriteFault(applied) for applied in faults)
    assert await lake.swap(DAY, seen, result, now_ms=1) == (1 if first else 2)
    assert not store.faults
    day = await lake.read_day(DAY)
    assert day.pointer is not None
    assert day.pointer.result == result


async def test_a_store_that_never_answers_is_an_error(lake: LakeStore, store: MemoryObjectStore) -> None:
    result = await lake.store_generation(generation("b"))
    store.faults.extend(WriteFault(applied=False) for _ in range(20))
    with pytest.raises(StoreUnknown):
        await lake.swap(DAY, None, result, now_ms=1)


@pytest.mark.parametrize("applied", [True, False])
async def test_an_object_is_created_once(lake: LakeStore, store: MemoryObjectStore, applied: bool) -> None:
    store.faults.append(WriteFault(applied))
    key = await lake.store_generation(generation("a"))
    assert await lake.generation(key) == generation("a")
    assert await lake.store_generation(generation("a")) == key
    with pytest.raises(UsageError, match="already"):
        await lake.store_generation(generation("a", made_ms=9))
    assert await lake.generation(key) == generation("a")


async def test_a_plan_and_a_result_are_kept(lake: LakeStore, store: MemoryObjectStore) -> None:
    plan = Plan(id=plan_id("a", 2), job="daily", day=DayInput(event_date=DAY), made_ms=1, ends_by_ms=2)
    await lake.store_plan(plan)
    assert await lake.plan("a", 1, 2) == plan
    result = RunResult(run="a", attempt=1, job="daily", outcome="succeeded", started_ms=1, ended_ms=2)
    assert await lake.store_result(result) == run_result_key("a", 1)
    assert await store.exists(run_result_key("a", 1), deadline_s=DEADLINE_S)
    with pytest.raises(ObjectNotFound):
        await lake.plan("a", 1, 3)


async def test_a_pointer_that_leads_nowhere_or_is_unreadable_is_bad_data(
    lake: LakeStore, store: MemoryObjectStore
) -> None:
    await lake.swap(DAY, None, generation_key("gone", 1, 1), now_ms=1)
    with pytest.raises(BadData):
        await lake.read_day(DAY)
    await store.put(pointer_key(DAY), b"{", deadline_s=DEADLINE_S)
    with pytest.raises(BadData, match="pointer"):
        await lake.read_day(DAY)
    await store.put(generation_key("gone", 1, 1), encode_lake(generation("a"))[:-3], deadline_s=DEADLINE_S)
    with pytest.raises(BadData, match="generation"):
        await lake.generation(generation_key("gone", 1, 1))


async def test_the_edges_of_a_plan_are_never_overwritten(lake: LakeStore, store: MemoryObjectStore) -> None:
    key = await lake.store_edges(plan_id("a"), b"edges")
    assert await lake.store_edges(plan_id("a"), b"edges") == key
    with pytest.raises(UsageError):
        await lake.store_edges(plan_id("a"), b"other edges")
    assert await store.get(key, deadline_s=DEADLINE_S) == b"edges"
