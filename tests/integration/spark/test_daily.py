"""The daily job over real staged files, Spark, S3 and PostgreSQL: right, repeatable, and the same in any order."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tests.support.day_world import DayWorld
from tests.support.job_context import context_of
from tests.support.staged_files import clean_row
from tests.support.warehouses import PostgresHarness, new_database

from headrace_core.errors import BadData
from headrace_core.identity import Edge, edge_record
from headrace_core.lake import LakeTable
from headrace_core.pipeline_run import DailyParameters, RunSpec
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_local.stack import LocalStack
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.jobs.daily import daily
from headrace_spark.ports import EdgeSource
from headrace_spark.settings import SparkSettings

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

_D = datetime(2026, 11, 20, tzinfo=UTC)
_DAY = "2026-11-20"
_TABLES: tuple[LakeTable, ...] = ("sessions", "funnels", "cohorts", "finance_daily", "user_day", "events_day")
_HISTORIES = int(os.environ.get("HEADRACE_DAY_HISTORIES", "1"))
"""A campaign sets more."""


@pytest.fixture
def harness(warehouse_dsn: str) -> PostgresHarness:
    return PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))


@pytest.fixture
def other_harness(stack: LocalStack, migrated_template: str) -> PostgresHarness:
    dsn = new_database(stack.endpoints.postgres_dsn, migrated_template)
    return PostgresHarness(dsn, PostgresWarehouse(dsn))


@pytest.fixture
def world(spark_settings: SparkSettings, spark: SparkSession, harness: PostgresHarness) -> DayWorld:
    return DayWorld.new(spark_settings, spark, harness.dsn)


def _row(event: str, offset: int, *, hours: float = 12.0, **more: Any) -> dict[str, Any]:
    at = _D + timedelta(hours=hours)
    return clean_row(event, at=at, offset=offset, **{"anonymous_id": "anon", **more})


async def test_a_day_is_made_once_and_says_what_it_holds(world: DayWorld, harness: PostgresHarness) -> None:
    await world.stage([_row("a", 1, hours=1), _row("b", 2, hours=1.2), _row("c", 3, hours=23.9)])
    await world.stage([_row("a", 4, hours=2), _row("d", 5, hours=24.2, revenue=Decimal("-1.0000"))])
    assert await world.settle(_DAY) == ["swapped"]
    rows = await world.table(_DAY)
    assert sorted((row["event_id"], row["src_offset"]) for row in rows) == [("a", 1), ("b", 2), ("c", 3)]
    sessions = await world.table(_DAY, "sessions")
    assert sorted((row["events"], row["revenue"]) for row in sessions) == [
        (2, Decimal("8.9900")),  # over midnight: c and d
        (2, Decimal("19.9800")),
    ]
    finance = await world.table(_DAY, "finance_daily")
    assert [(row["currency"], row["net"], row["orders"]) for row in finance] == [
        ("EUR", Decimal("29.9700"), 3)
    ]
    assert {row["event_id"] for row in await harness.rows()} == {"a", "b", "c"}
    assert await world.settle(_DAY) == ["unchanged"]


async def test_late_rows_reach_their_day_and_its_neighbour(world: DayWorld) -> None:
    await world.stage([_row("a", 1, hours=23.9)])
    await world.settle(_DAY)
    assert [row["events"] for row in await world.table(_DAY, "sessions")] == [1]
    await world.stage([_row("late", 2, hours=3), _row("b", 3, hours=24.1)])
    await world.settle_all()
    assert sorted(row["events"] for row in await world.table(_DAY, "sessions")) == [1, 2]
    assert await world.table("2026-11-21", "sessions") == []
    assert len(await world.table("2026-11-21")) == 1
    current = await world.lake.read_day(_DAY)
    assert current.generation is not None
    assert len(current.generation.contains) == 2


async def test_sessions_leave_out_a_copy_that_a_lower_one_two_days_on_displaces(world: DayWorld) -> None:
    await world.stage([_row("a", 1, hours=23.9), _row("copy", 2, hours=48.5), _row("copy", 3, hours=24.1)])
    assert await world.settle(_DAY) == ["swapped"]
    assert [row["events"] for row in await world.table(_DAY, "sessions")] == [1]


async def test_customers_are_those_of_the_edges_that_the_plan_read(world: DayWorld) -> None:
    await world.stage([_row("a", 1), _row("b", 2, user_id="u2", user_key="u:u2")])
    await world.settle(_DAY)
    assert {row["customer_id"] for row in await world.table(_DAY)} == {None}
    edge = Edge(
        kind="anonymous",
        alias="anon",
        customer_id="c1",
        op="assert",
        source="crm",
        confidence=1.0,
        valid_from=0,
    )
    world.edges.snapshot = EdgeSnapshot((edge_record(0, edge),), 1)
    assert await world.settle(_DAY) == ["swapped"]
    found = {row["event_id"]: (row["customer_id"], row["identity_status"]) for row in await world.table(_DAY)}
    assert found == {"a": ("c1", "resolved"), "b": (None, "resolved")}


async def test_two_runs_at_once_make_one_day(world: DayWorld, harness: PostgresHarness) -> None:
    await world.stage([_row(f"e{number}", number, hours=number % 24) for number in range(50)])
    outcomes = await asyncio.gather(world.settle(_DAY), world.settle(_DAY))
    assert sorted(outcomes) == [["swapped"], ["unchanged"]]
    assert len(await world.table(_DAY)) == len(await harness.rows()) == 50


class _NoCustomers:
    """Writes down that it was asked."""

    asked = 0

    async def publish_customers(self, edges: EdgeSource) -> Mapping[str, int]:
        self.asked += 1
        return {}


async def test_a_torn_day_holds_up_no_other(world: DayWorld) -> None:
    torn = await world.stage([_row("a", 1)])
    await world.stage([_row("b", 2, hours=-240)])
    await world.store.put(torn.files[0].key, b"no Parquet", deadline_s=30)
    spec = RunSpec(job="daily", date=_DAY, daily=DailyParameters(quality="off"))
    context, customers = context_of(world, "daily", "torn"), _NoCustomers()
    with pytest.raises(BadData, match=_DAY) as raised:
        await daily(context, spec, world.job(), customers)
    assert raised.value.code == "file_torn"
    assert [(day.event_date, day.outcome) for day in context.days] == [
        (_DAY, "stopped"),
        ("2026-11-10", "swapped"),
    ]
    assert customers.asked == 1


async def _content(world: DayWorld, harness: PostgresHarness) -> dict[str, object]:
    """Everything that readers see of the three days, apart from times of loading."""
    days = [str((_D + timedelta(days=number)).date()) for number in (-1, 0, 1)]
    found: dict[str, object] = {f"{day} events": await world.table(day) for day in days}
    found |= {f"{day} {table}": await world.table(day, table) for day in days for table in _TABLES}
    hot = [
        {name: value for name, value in row.items() if name != "loaded_ts"} for row in await harness.rows()
    ]
    return {**found, "warehouse": hot, "tables": await harness.tables()}


def _histories(seed: int) -> list[list[dict[str, Any]]]:
    """Batches of rows in chain order: three days, users with long sessions over midnights, copies hours and a day apart."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for offset in range(120):
        event = f"e{rng.randrange(100)}"
        hours = random.Random(f"{seed} {event}").uniform(-24, 48) + rng.choice((0, 0, 0, 20))
        user = f"u{rng.randrange(6)}"
        rows.append(
            _row(
                event,
                offset,
                hours=min(47.9, hours),
                user_id=user,
                user_key=f"u:{user}",
                identity_status="resolved",
            )
        )
    cuts = sorted(rng.sample(range(1, len(rows)), 4))
    return [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


@pytest.mark.parametrize("seed", range(_HISTORIES))
async def test_any_history_ends_as_a_single_run(
    seed: int,
    spark_settings: SparkSettings,
    spark: SparkSession,
    harness: PostgresHarness,
    other_harness: PostgresHarness,
) -> None:
    batches = _histories(seed)
    rng = random.Random(seed)
    clean = DayWorld.new(spark_settings, spark, harness.dsn)
    other = DayWorld.new(spark_settings, spark, other_harness.dsn)
    for batch in batches:
        await clean.stage(batch)
    await clean.settle_all()
    await clean.settle_all()
    for batch in batches:
        await other.stage(batch)
        days = [str((_D + timedelta(days=rng.choice((-1, 0, 1)))).date()) for _ in range(2)]
        match rng.choice(("one", "two at once", "killed", "none")):
            case "one":
                await other.settle(days[0])
            case "two at once":
                await asyncio.gather(other.settle(days[0]), other.settle(days[0]))
            case "killed":
                await _killed(other, days[0], after_s=rng.uniform(0.5, 8))
            case _:
                pass
    for _ in range(2):
        await other.settle_all()
    assert await _content(other, other_harness) == await _content(clean, harness)


async def _killed(world: DayWorld, day: str, *, after_s: float) -> None:
    """A driver that dies at any of its steps leaves files without a pointer, or a swap without its load."""
    run = asyncio.ensure_future(world.settle(day))
    await asyncio.wait([run], timeout=after_s)
    run.cancel()
    await asyncio.wait([run])
