"""Hot rows go in one transaction, as they were seen, and wait for those who read them."""

from __future__ import annotations

from datetime import date

import psycopg
import pytest
from tests.support.staged_files import DAY, clean_row, staged_file
from tests.support.warehouses import PostgresHarness

from headrace_core.keys import file_id
from headrace_loader.load import load_files
from headrace_loader.load_files import CheckedFile
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.archiving import HotDay
from headrace_spark.warehouse_day import WarehouseDays
from headrace_spark.warehouse_expiry import WarehouseExpiry

pytestmark = pytest.mark.stack

_DAY = str(DAY.date())
_NAME = f"analytics.events_p{DAY:%Y%m%d}"


@pytest.fixture
def harness(warehouse_dsn: str) -> PostgresHarness:
    return PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))


@pytest.fixture
def expiry(harness: PostgresHarness) -> WarehouseExpiry:
    days = WarehouseDays(harness.dsn, MemoryObjectStore())
    return WarehouseExpiry(harness.dsn, days, readers_for_s=0.2, tries=1)


async def _load(harness: PostgresHarness, event: str, offset: int) -> CheckedFile:
    file = staged_file([clean_row(event, offset=offset)], start=offset)
    await load_files(harness.warehouse, [file], now_us=1, writer="t")
    return file


def _id(file: CheckedFile) -> int:
    return file_id(file.entry.file.key)


async def test_rows_go_and_what_was_computed_stays(harness: PostgresHarness, expiry: WarehouseExpiry) -> None:
    first, second = await _load(harness, "a", 0), await _load(harness, "b", 10)
    tables = await harness.tables()
    partly = await expiry.read(_DAY, [_id(first)])
    assert (partly.rows, partly.outside, partly.expired) == (2, 1, False)
    contained = [_id(first), _id(second)]
    seen = await expiry.read(_DAY, contained)
    assert (seen.rows, seen.outside, seen.newest_loaded_ms) == (2, 0, 0)
    assert await expiry.expire(_DAY, contained, seen)
    assert (await harness.rows(), await harness.tables()) == ([], tables)
    assert await expiry.read(_DAY, contained) == HotDay(0, 0, None, 0, expired=True)
    await _load(harness, "late", 20)
    assert [row["event_id"] for row in await harness.rows()] == ["late"]


async def test_a_day_that_changed_since_it_was_seen_stays(
    harness: PostgresHarness, expiry: WarehouseExpiry
) -> None:
    first = await _load(harness, "a", 0)
    seen = await expiry.read(_DAY, [_id(first)])
    await _load(harness, "late", 10)
    assert not await expiry.expire(_DAY, [_id(first)], seen)
    assert len(await harness.rows()) == 2
    assert not (await expiry.read(_DAY, [])).expired


async def test_a_reader_of_the_day_is_waited_for_and_then_left_alone(
    harness: PostgresHarness, expiry: WarehouseExpiry
) -> None:
    first = await _load(harness, "a", 0)
    seen = await expiry.read(_DAY, [_id(first)])
    async with await psycopg.AsyncConnection.connect(harness.dsn) as reader:
        await reader.execute(f"SELECT count(*) FROM {_NAME}".encode())
        assert not await expiry.expire(_DAY, [_id(first)], seen)
        assert len(await harness.rows()) == 1
    assert await expiry.expire(_DAY, [_id(first)], seen)
    assert await harness.rows() == []


async def test_a_day_without_rows_or_partition_is_only_marked(expiry: WarehouseExpiry) -> None:
    other = str(date(2020, 1, 1))
    seen = await expiry.read(other, [])
    assert seen == HotDay()
    assert await expiry.expire(other, [], seen)
    assert (await expiry.read(other, [])).expired
