"""A day's later life on real parts: compacted, kept, and what is past its time deleted."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from tests.support.day_world import DEADLINE_S, DayWorld, new_bucket
from tests.support.job_context import context_of
from tests.support.spark_rows import lake_rows
from tests.support.staged_files import clean_row
from tests.support.warehouses import PostgresHarness

from headrace_core.clock import ManualClock, SystemClock
from headrace_core.day_archive import archived_files, decode_archive, digest_of_files
from headrace_core.errors import BadData
from headrace_core.lake import Generation, PlanId
from headrace_core.paths import archive_key, lake_prefix, parse_lake_key
from headrace_core.pipeline_run import CompactParameters, RetentionParameters, RunSpec
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_spark.compact_engine import content
from headrace_spark.jobs import archive, compact, retention
from headrace_spark.settings import SparkSettings
from headrace_spark.transforms.rows import lake_schema, with_hour

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]

_AGE_DAYS = 40


@pytest.fixture
def harness(warehouse_dsn: str) -> PostgresHarness:
    return PostgresHarness(warehouse_dsn, PostgresWarehouse(warehouse_dsn))


@pytest.fixture
def clock() -> ManualClock:
    """Begins now, when objects and rows are written, and is moved on to when they are old."""
    return ManualClock(SystemClock().now_ms())


@pytest.fixture
def world(
    spark_settings: SparkSettings, spark: SparkSession, harness: PostgresHarness, clock: ManualClock
) -> DayWorld:
    own = {"s3_bucket": new_bucket(spark_settings), "warehouse_dsn": harness.dsn, "partitions": 2}
    settings = SparkSettings.model_validate(spark_settings.model_dump() | own)
    return DayWorld(settings, spark, clock=clock)


def _row(day: datetime, event: str, offset: int, hours: float, **more: Any) -> dict[str, Any]:
    at = day + timedelta(hours=hours)
    return clean_row(event, at=at, offset=offset, **{"anonymous_id": "anon", **more})


def _storage_class(world: DayWorld, key: str) -> str | None:
    settings = world.settings
    assert settings.s3_access_key_id is not None
    assert settings.s3_secret_access_key is not None
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
    found: str | None = client.head_object(Bucket=settings.s3_bucket, Key=key).get("StorageClass")
    return found


async def _scatter(world: DayWorld, day: str) -> Generation:
    """A generation of the same rows in several files an hour, as a large day's tasks leave them behind."""
    current = await world.lake.read_day(day)
    assert current.generation is not None
    context = context_of(world, "daily", "scatter")
    files = context.lake_files()
    addresses = [files.address(file.key) for file in current.generation.files("events")]
    frame = await world.spark.run(
        lambda session: with_hour(session.read.schema(lake_schema()).parquet(*addresses)).repartition(3)
    )
    made = PlanId(run="scatter", attempt=1, plan=1)
    written = await files.write(lake_prefix("events", day, made.generation), frame, partition_by=["hour"])
    scattered = msgspec.structs.replace(
        current.generation, id=made, tables={**current.generation.tables, "events": written}
    )
    key = await world.lake.store_generation(scattered)
    assert await world.lake.swap(day, current.pointer, key, now_ms=world.clock.now_ms())
    return scattered


async def test_a_day_is_compacted_archived_and_what_is_past_its_time_goes(
    world: DayWorld, clock: ManualClock, harness: PostgresHarness
) -> None:
    day = datetime.fromtimestamp(clock.now_ms() // 86_400_000 * 86_400, UTC)
    name = str(day.date())
    nine = [_row(day, f"n{at}", at, 9.9 - at / 30) for at in range(20)]
    manifest = await world.stage([*nine, _row(day, "late", 100, 20)])
    assert await world.settle(name) == ["swapped"]
    before, rows = await _scatter(world, name), await world.table(name)
    clock.advance(_AGE_DAYS * 86_400)
    spec = RunSpec(job="compact", date=name, compact=CompactParameters(target_bytes=1 << 20))
    done = await compact.run(context_of(world, "compact", "compact"), spec)
    again = await compact.run(context_of(world, "compact", "again"), spec)
    assert [result.outcome for result in (*done.days, *again.days)] == ["swapped", "unchanged"]
    after = (await world.lake.read_day(name)).generation
    assert after is not None
    assert await world.table(name) == rows
    assert after.contains == before.contains
    places = [parse_lake_key(file.key) for file in after.files("events")]
    assert [place.hour for place in places if place is not None] == [9, 20]
    for file in after.files("events"):
        assert _storage_class(world, file.key) == "INTELLIGENT_TIERING"
        data = await world.store.get(file.key, deadline_s=DEADLINE_S)
        assert hashlib.sha256(data).hexdigest() == file.sha256
        times = pq.read_table(io.BytesIO(data))["event_ts"].cast(pa.int64()).to_numpy()
        assert (times[:-1] <= times[1:]).all()
    await _archive(world, harness, name)
    assert await world.settle(name) == ["unchanged"]
    await _retain(world, manifest.files[0].key, name)


async def _archive(world: DayWorld, harness: PostgresHarness, day: str) -> None:
    """A torn file keeps the hot rows; once it is whole they go, and what was computed from them stays."""
    generation = (await world.lake.read_day(day)).generation
    assert generation is not None
    spec, key = RunSpec(job="archive"), generation.files("sessions")[0].key
    whole, tables = await world.store.get(key, deadline_s=DEADLINE_S), await harness.tables()
    assert any(tables.values())
    await world.store.put(key, whole[:-9] + b"x" + whole[-8:], deadline_s=DEADLINE_S)
    with pytest.raises(BadData, match="not what its generation says") as raised:
        await archive.run(context_of(world, "archive", "torn"), spec)
    assert key in (raised.value.why or "")
    assert len(await harness.rows()) == 21
    await world.store.put(key, whole, deadline_s=DEADLINE_S)
    done = await archive.run(context_of(world, "archive", "archive"), spec)
    [result] = done.days
    assert (result.outcome, result.counts["rows_expired"]) == ("unchanged", 21)
    assert (await harness.rows(), await harness.tables()) == ([], tables)
    state = await harness.query(
        "SELECT event_date::text, sequence, expired_ts IS NOT NULL FROM ops.day_generation"
    )
    assert state == [(day, 3, True)]
    record = decode_archive(await world.store.get(archive_key(day), deadline_s=DEADLINE_S))
    assert (record.rows, record.digest) == (21, digest_of_files(archived_files(generation)))
    assert (await archive.run(context_of(world, "archive", "again"), spec)).days == ()


async def _retain(world: DayWorld, staged: str, day: str) -> None:
    """The staged file is past its time and contained; so are files of the first generation, which was replaced long ago."""
    listed = [entry.key for entry in await world.store.list("lake/", deadline_s=DEADLINE_S)]
    spec = RunSpec(job="retention", retention=RetentionParameters(), dry_run=True)
    dry = await retention.run(context_of(world, "retention", "dry", dry_run=True), spec)
    assert await world.store.exists(staged, deadline_s=DEADLINE_S)
    spec = msgspec.structs.replace(spec, dry_run=False)
    done = await retention.run(context_of(world, "retention", "keep"), spec)
    assert dry.counts["expired_objects"] > 0
    assert done.counts["days_missing"] == 0
    assert not await world.store.exists(staged, deadline_s=DEADLINE_S)
    left = [entry.key for entry in await world.store.list("lake/", deadline_s=DEADLINE_S)]
    generation = (await world.lake.read_day(day)).generation
    assert generation is not None
    named = {file.key for files in generation.tables.values() for file in files}
    assert named <= set(left) < set(listed)


def test_the_content_of_rows_has_no_order_and_misses_nothing(spark: SparkSession) -> None:
    one = {"event_id": "a", "src_offset": 1, "user_id": None, "anonymous_id": "x"}
    two = {"event_id": "b", "src_offset": 2, "user_id": "x", "anonymous_id": None}
    whole = content(lake_rows(spark, [one, two, two]))
    assert whole[0] == 3
    assert content(lake_rows(spark, [two, one, two])) == whole
    moved = {**one, "user_id": "x", "anonymous_id": None}
    for others in ([one, one, two], [moved, two, two], [{**one, "anonymous_id": "y"}, two, two]):
        assert content(lake_rows(spark, others)) != whole
