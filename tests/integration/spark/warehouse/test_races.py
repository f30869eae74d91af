"""Rule B3 beside writers of the same rows: between the difference and the lock, at the lock, behind it."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from tests.support.lake_generations import rows_of
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.staging import until
from tests.support.warehouse_days import Interrupted, WarehouseWorld, ids

from headrace_core.errors import Unavailable
from headrace_core.lake import Generation
from headrace_loader.load import load_files
from headrace_loader.load_files import CheckedFile
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_spark.warehouse_difference import DayApplied


@pytest.fixture
def world(warehouse_dsn: str) -> WarehouseWorld:
    """A migrated database of the test's own."""
    return WarehouseWorld(warehouse_dsn)


def _files() -> list[CheckedFile]:
    """Three files: the third holds a lower copy of a row of the first, on the day before, and news."""
    first = [
        clean_row(name, at=DAY + timedelta(minutes=at), offset=20 + at) for at, name in enumerate("abcd")
    ]
    second = [
        clean_row(name, at=DAY + timedelta(hours=1 + at), offset=30 + at) for at, name in enumerate("efg")
    ]
    third = [clean_row("a", at=DAY - timedelta(minutes=5), offset=1), clean_row("h", offset=2)]
    return [staged_file(first, start=20), staged_file(second, start=30), staged_file(third, start=0)]


async def _waiting(world: WarehouseWorld) -> None:
    """Until somebody waits for a lock."""
    statement = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    await until(lambda: _holds(world, statement))


async def _holds(world: WarehouseWorld, statement: str) -> bool:
    return await world.harness.query(statement) != [(0,)]


async def _enough(world: WarehouseWorld, files: list[CheckedFile]) -> None:
    """After all writers: one more generation and the loader make the warehouse what the files say."""
    await world.load(*files)
    await world.check()
    for _ in range(2):
        for day in (DAY - timedelta(days=1), DAY):
            await world.apply(await world.lake(*files, day=day.date()))
    rows = await world.check()
    assert sorted(ids(rows)) == sorted("abcdefgh")
    assert [row["src_offset"] for row in rows if row["event_id"] == "a"] == [1]


@pytest.mark.parametrize("loads", [[1], [2], [1, 2], [0, 1, 2]])
@pytest.mark.parametrize("contained", [[0], [0, 1], [0, 1, 2]])
async def test_a_load_between_difference_and_lock(
    world: WarehouseWorld, contained: list[int], loads: list[int]
) -> None:
    files = _files()
    await world.load(files[0])
    days = Interrupted(world, before=lambda: world.load(*(files[at] for at in loads)))
    generation = await world.lake(*(files[at] for at in contained))
    applied = await days.apply_day(generation, world.next_sequence(generation))
    assert applied.outcome == "applied"
    rows = await world.check()
    assert {row["event_id"] for row in rows} >= {
        row["event_id"] for at in loads for row in rows_of(files[at])
    }
    await _enough(world, files)


async def test_a_load_that_commits_while_the_job_waits_for_the_lock(world: WarehouseWorld) -> None:
    files = _files()
    await world.load(files[0])
    loader = await PostgresWarehouse(world.dsn).session()
    tasks: list[asyncio.Task[None]] = []

    async def hold() -> None:
        """Everything of a load but its COMMIT, which comes once the job waits."""
        await loader.prepare(files[1:])
        await loader.begin()
        await loader.lock()
        for file in files[1:]:
            await loader.copy(file)
        await loader.staged_rows()
        await loader.insert_absent(loaded_us=1)
        await loader.add_rollups()
        tasks.append(asyncio.create_task(commit()))

    async def commit() -> None:
        await _waiting(world)
        await loader.commit()

    generation = await world.lake(*files[:2])
    applied = await Interrupted(world, before=hold).apply_day(generation, world.next_sequence(generation))
    await asyncio.gather(*tasks)
    await loader.close()
    assert (applied.outcome, applied.inserted) == ("applied", 0)
    assert sorted(ids(await world.rows())) == sorted("abcdefgh")
    await _enough(world, files)


async def test_a_load_that_waits_for_the_job(world: WarehouseWorld) -> None:
    files = _files()
    await world.load(files[0])
    tasks: list[asyncio.Task[Any]] = []

    async def begin_load() -> None:
        tasks.append(asyncio.create_task(world.load(*files[1:])))
        await _waiting(world)

    generation = await world.lake(*files[:2])
    applied = await Interrupted(world, after=begin_load).apply_day(
        generation, world.next_sequence(generation)
    )
    [loaded] = await asyncio.gather(*tasks)
    assert applied.inserted == 3
    assert sum(entry.present for entry in loaded.loaded.values()) == 3
    await world.check()
    await _enough(world, files)


async def test_rows_that_go_before_the_lock_come_back_where_the_generation_has_them(
    world: WarehouseWorld,
) -> None:
    files = _files()
    await world.load(*files[:2])

    async def lose() -> None:
        await world.harness.query("DELETE FROM analytics.events WHERE event_id IN ('b', 'e')")

    generation = await world.lake(*files[:2])
    applied = await Interrupted(world, before=lose).apply_day(generation, world.next_sequence(generation))
    assert (applied.inserted, applied.unchanged) == (2, 5)
    assert sorted(ids(await world.check())) == sorted("abcdefg")


async def test_a_subject_suppressed_before_the_lock_is_not_brought_back(world: WarehouseWorld) -> None:
    rows = [clean_row(str(at), offset=at, user_id=f"u{at % 2}") for at in range(4)]
    file = staged_file(rows, start=0)

    generation = await world.lake(file)
    for loaded in (False, True):
        if loaded:
            await world.load(file)
        sequence = world.next_sequence(generation)
        suppress = partial(world.harness.suppress, "user", "u1")
        applied = await Interrupted(world, before=suppress).apply_day(generation, sequence)
        assert (applied.suppressed, applied.deleted) == (2, 2 if loaded else 0)
        assert ids(await world.check()) == ["0", "2"]
        await world.harness.query("DELETE FROM ops.suppressed_subjects")


@pytest.mark.parametrize(("first", "outcome"), [(1, "applied"), (2, "present"), (3, "superseded")])
async def test_another_job_between_difference_and_lock(
    world: WarehouseWorld, first: int, outcome: str
) -> None:
    files = _files()
    await world.load(files[0])
    other, own = await world.lake(*files), await world.lake(*files[:2])
    days = Interrupted(world, before=lambda: world.apply(other, first))
    assert (await days.apply_day(own, 2)).outcome == outcome
    await world.check()
    world.sequences[DAY.date()] = 3
    await _enough(world, files)


async def test_jobs_at_once_leave_what_the_last_one_says(world: WarehouseWorld) -> None:
    files = _files()
    await world.load(files[0])
    generations = [await world.lake(*files[: at % 3 + 1]) for at in range(6)]

    async def one(number: int, generation: Generation) -> DayApplied:
        for _ in range(20):
            try:
                return await world.apply(generation, number)
            except Unavailable:
                continue
        raise AssertionError("never applied")

    results = await asyncio.gather(*(one(number, each) for number, each in enumerate(generations, 1)))
    assert results[-1].outcome == "applied"
    assert await world.harness.query("SELECT sequence FROM ops.day_generation") == [(6,)]
    await world.check()
    world.sequences[DAY.date()] = 6
    await _enough(world, files)


async def test_jobs_of_neighbouring_days_and_a_loader_at_once(world: WarehouseWorld) -> None:
    files = _files()
    days = [(DAY + timedelta(days=step)).date() for step in (-1, 0, 1)]

    async def repeat(generation: Generation) -> None:
        for number in range(1, 4):
            while True:
                try:
                    await world.apply(generation, number)
                    break
                except Unavailable:
                    continue

    jobs = [repeat(await world.lake(*files, day=day)) for day in days]
    loader = load_files(PostgresWarehouse(world.dsn, slot=1), files, now_us=1, writer="t")
    await asyncio.gather(*jobs, loader)
    for day in days:
        world.sequences[day] = 3
    await _enough(world, files)
