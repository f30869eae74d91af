"""The contract of the warehouse port, on the warehouse in memory and on PostgreSQL."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouses import Harness, MemoryHarness, PostgresHarness, tables_of

from headrace_core.errors import BadData
from headrace_loader.load import LoadResult, load_batch, load_files, set_aside_files
from headrace_loader.load_files import CheckedFile
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse import WarehouseSession
from headrace_loader.warehouse_postgres import PostgresWarehouse

NOW_US = 1_790_000_000_123_456
NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture(params=["memory", "postgres"])
def harness(request: pytest.FixtureRequest) -> Harness:
    """A harness of each adapter."""
    if request.param == "memory":
        return MemoryHarness()
    dsn = request.getfixturevalue("warehouse_dsn")
    return PostgresHarness(dsn, PostgresWarehouse(dsn))


async def _load(harness: Harness, *files: CheckedFile) -> LoadResult:
    return await load_files(harness.warehouse, files, now_us=NOW_US, writer="test")


async def _ids(harness: Harness) -> list[str]:
    return [row["event_id"] for row in await harness.rows()]


async def _rollups_follow(harness: Harness) -> None:
    assert await harness.tables() == tables_of(Rollups.of(await harness.rows()))


async def test_every_value_arrives_as_it_was_staged(harness: Harness) -> None:
    full = clean_row(
        "full",
        offset=1,
        user_id="ann",
        anonymous_id="anon-1",
        customer_id="c-7",
        original_timestamp="2026-11-20T00:00:00+01:00",
        tz_offset_min=-90,
        page_url="https://shop.example/ä?q=☃",
        revenue=Decimal("-12345678901234.5678"),
        properties='{"a" : "\\u00e9\\u0000", "n": 1e400}',
        context="[]",
        overflow='["properties"]',
    )
    least = clean_row("least", offset=0, event_name=None, revenue=None, currency=None, properties=None)
    file = staged_file([least, full], start=0)
    await _load(harness, file)
    stored = await harness.rows()
    for sent, got in zip([least, full], stored, strict=True):
        assert {name: got[name] for name in sent} == sent
        assert got["file_id"] == file.file_id
    assert stored[0]["page_url"] is None
    await _rollups_follow(harness)


async def test_the_ledger_says_what_became_of_each_file(harness: Harness) -> None:
    await harness.suppress("anonymous", "gone")
    first = staged_file([clean_row("a", offset=0), clean_row("b", offset=1)], start=0)
    second = staged_file(
        [clean_row("b", offset=2), clean_row("c", offset=3), clean_row("d", offset=4, anonymous_id="gone")],
        start=10,
    )
    result = await _load(harness, first, second)
    entry = result.loaded[second.file_id]
    assert (entry.rows, entry.inserted, entry.present, entry.suppressed) == (3, 1, 1, 1)
    assert (entry.partition, entry.chain_start, entry.chain_end, entry.loaded_us) == (0, 10, 20, NOW_US)
    again = await _load(harness, first, second)
    assert again.loaded == result.loaded
    assert again.new == set()
    assert await _ids(harness) == ["a", "b", "c"]
    assert await harness.ledger_sums() == {"rows": 5, "inserted": 3, "present": 1, "suppressed": 1}
    await _rollups_follow(harness)


@pytest.mark.parametrize(
    ("kind", "column"), [("user", "user_id"), ("anonymous", "anonymous_id"), ("customer", "customer_id")]
)
async def test_each_kind_of_subject_is_left_out(harness: Harness, kind: str, column: str) -> None:
    await harness.suppress(kind, "x")
    await harness.suppress("user", "nobody")
    subject: dict[str, Any] = {column: "x"}
    await _load(harness, staged_file([clean_row("a", **subject), clean_row("b", offset=1)], start=0))
    assert await _ids(harness) == ["b"]


@pytest.mark.parametrize("apart", [0, 1, 2])
async def test_copies_up_to_a_day_apart_are_one(harness: Harness, apart: int) -> None:
    early = staged_file([clean_row("x", at=DAY, offset=0)], start=0)
    late = staged_file([clean_row("x", at=DAY + timedelta(days=apart), offset=9)], start=10)
    await _load(harness, early)
    await _load(harness, late)
    assert [row["src_offset"] for row in await harness.rows()] == ([0, 9] if apart == 2 else [0])
    await _rollups_follow(harness)


async def test_copies_in_one_batch_are_decided_as_if_loaded_one_by_one(harness: Harness) -> None:
    chain = [clean_row("x", at=DAY + timedelta(days=at), offset=at) for at in range(4)]
    twins = [clean_row("y", at=DAY, offset=20), clean_row("y", at=DAY + timedelta(hours=1), offset=10)]
    await _load(harness, staged_file(chain[:2], start=0), staged_file([*chain[2:], *twins], start=10))
    assert [(row["event_id"], row["src_offset"]) for row in await harness.rows()] == [
        ("x", 0),
        ("x", 2),
        ("y", 10),
    ]
    await _rollups_follow(harness)


async def test_one_event_id_of_two_sources_is_two_events(harness: Harness) -> None:
    rows = [clean_row("1", source="a", offset=0), clean_row("1", source="b", offset=1)]
    await _load(harness, staged_file(rows, start=0))
    assert len(await harness.rows()) == 2


async def test_a_file_loaded_after_its_successors_displaces_higher_copies(harness: Harness) -> None:
    late = staged_file(
        [
            clean_row("x", at=NEXT_DAY, offset=7, user_id="u"),
            clean_row("z", at=NEXT_DAY, offset=8, user_id="u"),
        ],
        start=10,
    )
    early = staged_file([clean_row("x", at=DAY, offset=3, user_id="u"), clean_row("y", offset=4)], start=0)
    await _load(harness, late)
    result = await _load(harness, early)
    assert [(row["event_id"], row["src_offset"]) for row in await harness.rows()] == [
        ("x", 3),
        ("y", 4),
        ("z", 8),
    ]
    assert result.loaded[early.file_id].inserted == 2
    entry = (await _load(harness, late)).loaded[late.file_id]
    assert (entry.inserted, entry.present) == (1, 1)
    await _rollups_follow(harness)


async def test_a_displaced_row_that_was_alone_leaves_no_bucket(harness: Harness) -> None:
    late = staged_file([clean_row("x", at=NEXT_DAY, offset=7, user_id="only")], start=10)
    await _load(harness, late)
    await _load(harness, staged_file([clean_row("x", at=DAY, offset=3, user_id="only")], start=0))
    assert (await harness.tables())["user_first_seen"] == {"u:only": DAY}
    await _rollups_follow(harness)


async def test_rows_add_to_the_aggregates_of_an_expired_day(harness: Harness) -> None:
    await _load(harness, staged_file([clean_row("a", offset=0, user_id="u")], start=0))
    await harness.expire(DAY.date())
    await _load(harness, staged_file([clean_row("late", offset=1, user_id="u")], start=10))
    assert await _ids(harness) == ["late"]
    tables = await harness.tables()
    assert [value[0] for value in tables["events_day"].values()] == [2]
    assert [value[0] for value in tables["user_day"].values()] == [2]


async def test_a_copy_on_an_expired_day_is_not_displaced(harness: Harness) -> None:
    await _load(harness, staged_file([clean_row("a", offset=0)], start=0))
    await harness.expire(DAY.date())
    await _load(harness, staged_file([clean_row("x", offset=9)], start=20))
    await _load(harness, staged_file([clean_row("x", at=NEXT_DAY, offset=5)], start=10))
    assert [row["src_offset"] for row in await harness.rows()] == [9]
    assert [value[0] for value in (await harness.tables())["events_day"].values()] == [2]


async def test_a_reload_after_expiry_brings_nothing_back(harness: Harness) -> None:
    file = staged_file([clean_row("a", offset=0)], start=0)
    await _load(harness, file)
    await harness.expire(DAY.date())
    await _load(harness, file)
    assert await harness.rows() == []


async def test_a_rolled_back_transaction_leaves_nothing(harness: Harness) -> None:
    file = staged_file([clean_row("a", offset=0)], start=0)
    session = await harness.warehouse.session()
    await session.prepare([file])
    await session.begin()
    await session.lock()
    await session.copy(file)
    assert await session.staged_rows() == {file.file_id: 1}
    await session.insert_absent(loaded_us=NOW_US)
    await session.add_rollups()
    await session.rollback()
    await session.close()
    assert await harness.rows() == []
    assert (await _load(harness, file)).new == {file.file_id}
    await _rollups_follow(harness)


async def test_the_stage_table_is_emptied_before_each_load(harness: Harness) -> None:
    files = [staged_file([clean_row(name, offset=at)], start=at * 10) for at, name in enumerate("ab")]
    session: WarehouseSession = await harness.warehouse.session()
    for file in files:
        await load_batch(session, [file], now_us=NOW_US, writer="test")
    await session.close()
    assert await _ids(harness) == ["a", "b"]


async def test_discovery_knows_what_is_settled(harness: Harness) -> None:
    loaded = staged_file([clean_row("a")], start=0, partition=3)
    broken = staged_file([clean_row("b", offset=1)], start=10, partition=3)
    unknown = staged_file([clean_row("c", offset=2)], start=20, partition=3)
    await _load(harness, loaded)
    [aside] = await set_aside_files(
        harness.warehouse, [(broken.entry, BadData("gone", code="file_missing"))], now_us=1
    )
    ids = [loaded.file_id, broken.file_id, unknown.file_id]
    assert aside.code == "file_missing"
    assert await harness.warehouse.loaded_up_to() == {3: 10}
    assert await harness.warehouse.settled_files(ids) == {loaded.file_id, broken.file_id}
    await harness.release(broken.entry.file.key)
    assert await harness.warehouse.settled_files(ids) == {loaded.file_id}
    assert await harness.warehouse.released_positions() == [(3, 10)]
    await _load(harness, broken)
    assert await harness.warehouse.released_positions() == []
    assert await harness.warehouse.settled_files(ids) == {loaded.file_id, broken.file_id}


async def test_a_released_file_that_fails_again_is_set_aside_again(harness: Harness) -> None:
    file = staged_file([clean_row("a")], start=0)
    failure = (file.entry, BadData("gone", code="file_missing"))
    await set_aside_files(harness.warehouse, [failure], now_us=1)
    await harness.release(file.entry.file.key)
    await set_aside_files(harness.warehouse, [failure], now_us=2)
    assert await harness.warehouse.settled_files([file.file_id]) == {file.file_id}


@pytest.mark.parametrize("days", [3, 20])
async def test_copies_are_found_in_batches_of_few_and_of_many_days(harness: Harness, days: int) -> None:
    rows = [clean_row(str(at), at=DAY - timedelta(days=2 * at), offset=at, user_id="u") for at in range(days)]
    later = [
        {**row, "event_ts": row["event_ts"] + timedelta(days=1), "src_offset": at}
        for at, row in enumerate(rows, 90)
    ]
    new = [clean_row(f"new-{at}", at=DAY - timedelta(days=2 * at), offset=200 + at) for at in range(days)]
    await _load(harness, staged_file(rows, start=0))
    result = await _load(harness, staged_file([*later, *new], start=90))
    [entry] = result.loaded.values()
    assert (entry.inserted, entry.present) == (days, days)
    assert {row["src_offset"] for row in await harness.rows()} == {*range(days), *range(200, 200 + days)}
    await _rollups_follow(harness)
