"""Rule L4 on a day whose rows have expired: aggregates come from the generation, late rows are added, none is inserted."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.lake_generations import Row, lake_rows, rows_of
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouse_days import Interrupted, WarehouseWorld, ids
from tests.support.warehouses import tables_of

from headrace_core.errors import Unavailable
from headrace_core.lake import Generation
from headrace_core.tables import EVENTS_MINUTE, USER_DAY, Table
from headrace_loader.load_files import CheckedFile
from headrace_loader.rollups import Rollups

TODAY = DAY.date()


@pytest.fixture
def world(warehouse_dsn: str) -> WarehouseWorld:
    """A migrated database of the test's own."""
    return WarehouseWorld(warehouse_dsn)


def _file(number: int, *names: str, **more: Any) -> CheckedFile:
    rows = [
        clean_row(
            name,
            at=DAY + timedelta(minutes=number * 7 + at),
            offset=number * 10 + at,
            user_id=f"u{at % 2}",
            **more,
        )
        for at, name in enumerate(names)
    ]
    return staged_file(rows, start=number * 10)


async def _generation(world: WarehouseWorld, *files: CheckedFile) -> Generation:
    """As a job writes it: the events, and the rollups of just these rows."""
    rows = lake_rows(files, TODAY)
    return await world.generation(rows, files, tables=_aggregates(rows))


def _aggregates(rows: list[Row]) -> dict[Table, list[Row]]:
    tables = tables_of(Rollups.of(rows))
    found: dict[Table, list[Row]] = {}
    for table in (EVENTS_MINUTE, USER_DAY):
        values = [name for name in table.column_names if name not in table.key]
        names = (*table.key, *values)
        found[table] = [
            dict(zip(names, (*key, *rest), strict=True)) for key, rest in tables[table.name].items()
        ]
    return found


async def test_a_correction_takes_the_aggregates_and_no_rows(world: WarehouseWorld) -> None:
    files = [_file(0, "a", "b", "c"), _file(1, "d", "e")]
    await world.load(files[0])
    await world.harness.expire(TODAY)
    applied = await world.apply(await _generation(world, *files))
    assert (applied.outcome, applied.inserted) == ("expired", 0)
    assert applied.aggregates["events_minute"].inserted == 2
    assert await world.rows() == []
    everything = lake_rows(files, TODAY)
    assert await world.harness.tables() == tables_of(Rollups.of(everything))
    before = await world.versions()
    again = await world.apply(await _generation(world, *files))
    assert (again.outcome, again.written) == ("expired", 0)
    assert await world.versions() == before
    fewer = await world.apply(await _generation(world, files[0]))
    assert fewer.aggregates["events_minute"].deleted == 2
    assert await world.harness.tables() == tables_of(Rollups.of(rows_of(files[0])))


async def test_late_rows_that_the_generation_lacks_are_added_and_others_counted_once(
    world: WarehouseWorld,
) -> None:
    """The loader finds no copy of an expired row any more: it adds a late one, and the generation says that it is none."""
    first, late, repeated = _file(0, "a", "b", "c"), _file(1, "d", "e"), _file(2, "a")
    await world.load(first)
    await world.harness.expire(TODAY)
    await world.load(late, repeated)
    assert ids(await world.rows()) == ["d", "e", "a"]
    applied = await world.apply(await _generation(world, first, repeated))
    assert applied.outcome == "expired"
    assert ids(await world.rows()) == ["d", "e", "a"]
    rows = [*rows_of(first), *rows_of(late)]
    assert await world.harness.tables() == tables_of(Rollups.of(rows))


async def test_first_seen_times_follow_other_days(world: WarehouseWorld) -> None:
    today = _file(0, "a", "b")
    yesterday = staged_file([clean_row("y", at=DAY - timedelta(days=1), offset=50, user_id="u0")], start=50)
    await world.load(today, yesterday)
    await world.harness.expire(TODAY)
    await world.apply(await _generation(world))
    assert await world.harness.tables() == tables_of(Rollups.of(rows_of(yesterday)))


async def test_a_day_that_expires_while_it_is_compared_is_tried_again(world: WarehouseWorld) -> None:
    file = _file(0, "a", "b")
    await world.load(file)
    generation = await _generation(world, file)
    days = Interrupted(world, before=lambda: world.harness.expire(TODAY))
    with pytest.raises(Unavailable) as raised:
        await days.apply_day(generation, 1)
    assert raised.value.code == "day_expired_meanwhile"
    assert (await world.apply(generation, 1)).outcome == "expired"
    assert await world.rows() == []


async def test_a_copy_on_an_expired_neighbour_is_not_displaced(world: WarehouseWorld) -> None:
    yesterday = DAY - timedelta(days=1)
    stored = staged_file([clean_row("x", at=yesterday, offset=10)], start=10)
    lower = staged_file([clean_row("x", offset=1), clean_row("y", offset=2)], start=0)
    await world.load(staged_file([clean_row("z", at=yesterday, offset=20)], start=20))
    await world.harness.expire(yesterday.date())
    await world.load(stored)
    applied = await world.apply(await world.lake(lower))
    assert (applied.inserted, applied.present, applied.displaced) == (1, 1, 0)
    assert ids(await world.rows()) == ["y", "x"]
