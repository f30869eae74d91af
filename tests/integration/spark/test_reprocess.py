"""Reprocess and undo over real raw archives, Spark, S3 and PostgreSQL (rule B4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from pyspark.sql import SparkSession
from tests.support.day_world import DEADLINE_S, Row, new_bucket
from tests.support.job_context import context_of
from tests.support.raw_world import RawWorld
from tests.support.warehouses import PostgresHarness

from headrace_core.errors import UsageError
from headrace_core.pipeline_run import ReprocessParameters, RunSpec
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_spark.jobs.reprocess import reprocess
from headrace_spark.outcome import JobOutcome, succeeded
from headrace_spark.reprocess_report import ReprocessReport
from headrace_spark.settings import SparkSettings

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

_FIRST = {
    "name": "orders",
    "version": 1,
    "source": "shop",
    "id": "{order}",
    "time": {"field": "created", "format": "iso"},
    "fields": {"revenue": "net", "user_id": "customer"},
    "constants": {"event_name": "Order", "currency": "EUR"},
}
_BETTER = {
    **_FIRST,
    "version": 2,
    "time": {"field": "paid", "format": "iso"},
    "fields": {"revenue": "gross", "user_id": "customer"},
}
_OTHER = {**_FIRST, "name": "other"}


@pytest.fixture
def harness(warehouse_dsn: str) -> PostgresHarness:
    return PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))


@dataclass
class _Shop:
    """Orders of one day, of which one was paid on the day after, and one that the better mapping cannot read."""

    world: RawWorld
    harness: PostgresHarness
    day: str
    next_day: str
    old_day: str

    async def run(
        self, name: str, *, date: str | None = None, dry_run: bool = False, **asked: Any
    ) -> JobOutcome:
        parameters = ReprocessParameters(mappings=("orders@2",), **asked)
        spec = RunSpec(job="reprocess", date=date or self.day, reprocess=parameters, dry_run=dry_run)
        context = context_of(self.world, "reprocess", name, dry_run=dry_run)
        outcome = await reprocess(context, spec, self.world.job_of)
        result = succeeded(context.attempt, outcome, context.progress.stages, ended_ms=context.clock.now_ms())
        await context.lake.store_result(result)
        return outcome

    async def report(self, outcome: JobOutcome) -> ReprocessReport:
        content = await self.world.store.get(outcome.reports[0], deadline_s=DEADLINE_S)
        return msgspec.json.decode(content, type=ReprocessReport)

    async def revenues(self, day: str) -> dict[str, Decimal]:
        return {row["event_id"]: row["revenue"] for row in await self.world.table(day)}

    async def hot(self) -> list[Row]:
        rows = [{**row, "loaded_ts": None} for row in await self.harness.rows()]
        of_days = [row for row in rows if str(row["event_date"]) >= self.day]
        lake = [
            (day, *item) for day in (self.day, self.next_day) for item in (await self.revenues(day)).items()
        ]
        assert sorted((str(row["event_date"]), row["event_id"], row["revenue"]) for row in of_days) == sorted(
            lake
        )
        return rows


@pytest.fixture
async def shop(
    spark_settings: SparkSettings, spark: SparkSession, harness: PostgresHarness, tmp_path: Path
) -> _Shop:
    own = {
        "s3_bucket": new_bucket(spark_settings),
        "warehouse_dsn": SecretStr(harness.dsn),
        "mappings_dir": tmp_path,
    }
    world = RawWorld(spark_settings.model_copy(update=own), spark)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
    old = noon - timedelta(days=28)
    days = (str(day.date()) for day in (noon, noon + timedelta(days=1), old))
    shop = _Shop(world, harness, *days)
    for mapping in (_FIRST, _BETTER, _OTHER):
        world.deploy(mapping)
    received_ms = int((noon + timedelta(days=2)).timestamp()) * 1_000
    long = "ä" * 40_000
    rows = [
        _order("a", noon),
        _order("b", noon, paid=noon + timedelta(hours=20)),
        _order("c", noon, gross="unknown"),
        _order("d", noon, note=long),
    ]
    for manifest in (
        await world.send(rows, "orders@1", received_ms=received_ms),
        await world.send([_order("e", noon)], "other@1", received_ms=received_ms),
    ):
        await world.load(manifest)
    old_ms = int((noon - timedelta(days=28)).timestamp()) * 1_000
    await world.load(
        await world.send([_order("old", noon - timedelta(days=28))], "orders@1", received_ms=old_ms)
    )
    await world.send([_order("w", noon)], "orders@1", received_ms=received_ms)  # the loader has not seen it
    await world.settle_all()
    return shop


def _order(order: str, at: datetime, *, paid: datetime | None = None, **more: str) -> dict[str, str]:
    row = {"order": order, "created": at.isoformat(), "paid": (paid or at).isoformat(), "customer": "u1"}
    return {**row, "net": "1.00", "gross": "1.19", **more}


async def test_rows_change_move_and_come_back(shop: _Shop) -> None:
    before = {day: await shop.world.table(day) for day in (shop.day, shop.next_day)}
    hot = await shop.hot()
    assert await _dry_run_tells(shop) == before

    outcome = await shop.run("better")
    assert outcome.counts["rows_changed"] == 3
    assert [day.event_date for day in outcome.days] == [shop.next_day, shop.day]
    await _check_better(shop)
    [long] = [row for row in await shop.world.table(shop.day) if row["event_id"] == "d"]
    assert msgspec.json.decode(long["properties"])["$overflow"] in await shop.world.keys("overflow/")

    undone = await shop.run("undo", undo="better")
    assert {day.event_date for day in undone.days} == {shop.day, shop.next_day}
    assert {day: await shop.world.table(day) for day in before} == before
    assert await shop.hot() == hot

    # What a daily makes after a reprocess keeps its rows, and can no more be undone.
    await shop.run("once-more")
    await shop.world.settle_all()
    await _check_better(shop)
    assert (await shop.run("again")).days == ()
    with pytest.raises(UsageError, match="cannot be taken back"):
        await shop.run("undo-2", undo="once-more")
    await _check_better(shop)


async def _check_better(shop: _Shop) -> None:
    """The rows of the better mapping, in lake and warehouse; what it cannot read and what is not loaded is as it was."""
    as_it_was = dict.fromkeys(("c", "e", "w"), Decimal(1))
    assert await shop.revenues(shop.day) == {"a": Decimal("1.19"), "d": Decimal("1.19"), **as_it_was}
    assert await shop.revenues(shop.next_day) == {"b": Decimal("1.19")}
    await shop.hot()
    assert not [key for key in await shop.world.keys("runs/") if "/changes/" in key]


async def test_rows_of_long_ago_are_left_alone(shop: _Shop) -> None:
    outcome = await shop.run("old", date=shop.old_day)
    assert outcome.days == ()
    assert (outcome.counts["rows"], outcome.counts["rows_older"]) == (1, 1)


async def _dry_run_tells(shop: _Shop) -> dict[str, list[Row]]:
    """A dry run says all and swaps nothing; the rows as they are after it."""
    outcome = await shop.run("dry", dry_run=True, samples=2)
    report = await shop.report(outcome)
    assert (report.rows, report.changed, report.unchanged, report.waiting) == (6, 3, 1, 1)
    assert report.rejected == {"mapping_failed": 1}
    assert report.columns["revenue"] == 3
    assert [(move.from_day, move.to_day, move.rows) for move in report.moves] == [
        (shop.day, shop.day, 2),
        (shop.day, shop.next_day, 1),
    ]
    assert [(row.event_id, row.before["revenue"], row.after["revenue"]) for row in report.samples] == [
        ("a", "1.0000", "1.1900"),
        ("b", "1.0000", "1.1900"),
    ]
    assert [day.outcome for day in outcome.days] == ["planned", "planned"]
    assert not [key for key in await shop.world.keys("runs/dry/") if "plan=" in key or "/changes/" in key]
    return {day: await shop.world.table(day) for day in (shop.day, shop.next_day)}
