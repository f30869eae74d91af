"""The gate of a day's job on real Spark and S3: days without rows, and days whose verdicts are no longer there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from tests.support.day_metrics import day_of
from tests.support.day_world import DayWorld
from tests.support.staged_files import clean_row

from headrace_core.errors import BadData
from headrace_core.lake import Generation, PlanId
from headrace_core.manifest import File, Manifest, encode_manifest
from headrace_core.paths import manifest_key
from headrace_spark.quality.history import metrics_key
from headrace_spark.quality.metrics import encode_metrics
from headrace_spark.quality.report import REPORT_NAME, decode_report
from headrace_spark.settings import SparkSettings
from headrace_spark.settling import settle_day

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

_DAY = date(2026, 11, 20)
DEADLINE_S = 30.0


@pytest.fixture
def world(spark_settings: SparkSettings, spark: SparkSession, warehouse_dsn: str) -> DayWorld:
    return DayWorld.new(spark_settings, spark, warehouse_dsn)


def _row(event: str, offset: int, day: date) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return clean_row(event, at=at, offset=offset, anonymous_id="anon")


async def _put_measured(world: DayWorld, day: date) -> None:
    """A generation without files, and the metrics of a usual day beside it."""
    plan = PlanId(run=f"before-{day}", attempt=1, plan=1)
    made = Generation(id=plan, job="daily", event_date=str(day), made_ms=1)
    assert await world.lake.swap(str(day), None, await world.lake.store_generation(made), now_ms=1) == 1
    await world.store.put(metrics_key(made), encode_metrics(day_of(day)), deadline_s=DEADLINE_S)


async def test_a_day_that_lost_every_row_is_not_published(world: DayWorld) -> None:
    for weeks in range(1, 5):
        await _put_measured(world, _DAY - timedelta(weeks=weeks))
    await world.stage([_row("a", 1, _DAY - timedelta(days=1)), _row("a", 2, _DAY)])
    with pytest.raises(BadData) as raised:
        await settle_day(world.job(), world.identity(), str(_DAY))
    assert raised.value.code == "quality_failed"
    assert "day_not_empty" in raised.value.what
    assert (await world.lake.read_day(str(_DAY))).pointer is None


async def test_a_day_without_rows_and_without_history_is_published_with_a_report(world: DayWorld) -> None:
    await world.stage([_row("a", 1, _DAY - timedelta(days=1)), _row("a", 2, _DAY)])
    result = await settle_day(world.job(), world.identity(), str(_DAY))
    assert (result.outcome, result.counts["events_rows"]) == ("swapped", 0)
    assert any(key.endswith(REPORT_NAME) for key in result.reports)


async def test_deleted_verdicts_are_not_counted_and_the_report_says_so(world: DayWorld) -> None:
    await world.stage([_row("a", 1, _DAY)])
    noon_ms = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp() * 1000)
    gone = File(key="verdicts/p=00/gone.parquet", rows=3, bytes=9, sha256="0" * 64)
    manifest = Manifest(
        kind="verdicts",
        cluster_id="c",
        topic_id="t",
        topic="dedup.index",
        partition=0,
        start=0,
        end=3,
        rows=3,
        files=(gone,),
        first_append_ms=noon_ms,
        last_append_ms=noon_ms,
        schema_version=1,
        writer="test",
        created_ms=noon_ms,
    )
    key = manifest_key("verdicts", 0, 0)
    await world.store.put(key, encode_manifest(manifest), deadline_s=DEADLINE_S)
    result = await settle_day(world.job(), world.identity(), str(_DAY))
    assert result.outcome == "swapped"
    [at] = [key for key in result.reports if key.endswith(REPORT_NAME)]
    report = decode_report(await world.store.get(at, deadline_s=DEADLINE_S))
    skipped = {(each.name, each.subject): each.why for each in report.skipped}
    assert "deleted" in skipped["duplicate_rate", "found by dedup"]
