"""The job quality as a process, on days of a lake: what it leaves behind, when it fails, and what later days learn from it."""

from __future__ import annotations

import io
import random
import secrets
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from tests.support.spark import spark_environment
from tests.support.staged_files import clean_row

from headrace_core.errors import ExitCode
from headrace_core.events import CleanEvent
from headrace_core.lake import Generation, LakeFile, PlanId
from headrace_core.paths import generation_key, lake_prefix, report_key
from headrace_core.pipeline_run import Interval, QualityParameters, RunResult, RunSpec, encode_run
from headrace_loader.parquet import arrow_schema
from headrace_local.stack import LocalStack
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.quality.history import metrics_key, read_history
from headrace_spark.quality.measuring import measure_days
from headrace_spark.quality.metrics import DayMetrics, encode_metrics
from headrace_spark.quality.report import QualityReport, decode_report
from headrace_spark.settings import SparkSettings

DEADLINE_S = 30.0
WEEK = 7


@pytest.fixture
def store(spark_settings: SparkSettings) -> S3ObjectStore:
    return S3ObjectStore(spark_settings)


@pytest.fixture
def lake(store: S3ObjectStore) -> LakeStore:
    return LakeStore(store, deadline_s=DEADLINE_S)


def rows_of(day: date, *, broken: bool = False) -> list[dict[str, object]]:
    """300 orders; of a broken day nobody is known, and one order is there twice."""
    chance = random.Random(str(day))
    start = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
    rows = []
    for number in range(300):
        event = f"{day}-{number}"
        user: dict[str, object] = {"user_id": f"u{number % 70}", "properties": f'{{"n":{number}}}'}
        if broken:
            user |= {"user_id": None, "user_key": f"e:{event}", "identity_status": "unresolved"}
        at = start + timedelta(seconds=chance.randrange(36_000))
        rows.append(clean_row(event, at=at, offset=number, **user))
    return [*rows, rows[0]] if broken else rows


async def put_day(
    store: S3ObjectStore, lake: LakeStore, day: date, run: str, rows: Sequence[dict[str, object]]
) -> Generation:
    """A day with one file, and the pointer to it."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=arrow_schema(CleanEvent)), sink)
    key = f"{lake_prefix('events', str(day), run)}hour=08/part-0.parquet"
    await store.put(key, sink.getvalue(), deadline_s=DEADLINE_S)
    file = LakeFile(key=key, rows=len(rows), bytes=len(sink.getvalue()), sha256="0" * 64)
    made = Generation(
        id=PlanId(run=f"{run}-{day}", attempt=1, plan=1),
        job="daily",
        event_date=str(day),
        tables={"events": (file,)},
        made_ms=1,
    )
    assert await lake.swap(str(day), None, await lake.store_generation(made), now_ms=1) == 1
    return made


def run_job(stack: LocalStack, folder: Path, spec: RunSpec, name: str) -> tuple[int, RunResult, str]:
    """Exit code, result and standard error of a run."""
    path = folder / f"{name}.json"
    path.write_bytes(encode_run(spec))
    environment = spark_environment(stack) | {"HEADRACE_TERMINATION_LOG": str(folder / "termination.json")}
    words = ["quality", "--run", name, "--attempt", "1", "--parameters", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "headrace_spark", *words],
        env=environment,
        capture_output=True,
        timeout=280,
        check=False,
    )
    return done.returncode, msgspec.json.decode(done.stdout, type=RunResult), done.stderr.decode()


async def report_of(store: S3ObjectStore, key: str) -> QualityReport:
    return decode_report(await store.get(key, deadline_s=DEADLINE_S))


async def put_measured_week(
    spark: SparkSession, store: S3ObjectStore, first: date, run: str, folder: Path
) -> None:
    """Seven clean days whose metrics are beside their generations, as the daily job leaves them."""
    lake = LakeStore(store, deadline_s=DEADLINE_S)
    days = [first + timedelta(days=number) for number in range(WEEK)]
    path = folder / "week.parquet"
    rows = [row for day in days for row in rows_of(day)]
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(CleanEvent)), path)
    frame = spark.read.parquet(path.as_uri()).selectExpr("*", "to_date(event_ts) AS event_date")
    measured = measure_days(frame)
    for day in days:
        made = await put_day(store, lake, day, run, rows_of(day))
        await store.put(metrics_key(made), encode_metrics(measured[str(day)]), deadline_s=DEADLINE_S)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_days_are_checked_oldest_first_and_the_broken_one_fails_the_run(
    spark: SparkSession, stack: LocalStack, store: S3ObjectStore, lake: LakeStore, tmp_path: Path
) -> None:
    first, name = date(secrets.randbelow(900) + 4_000, 3, 1), f"quality-{secrets.token_hex(4)}"
    await put_measured_week(spark, store, first, name, tmp_path)
    clean, broken_day = first + timedelta(days=WEEK), first + timedelta(days=WEEK + 1)
    await put_day(store, lake, clean, name, rows_of(clean))
    made = await put_day(store, lake, broken_day, name, rows_of(broken_day, broken=True))
    interval = Interval(start=str(clean), end=str(broken_day + timedelta(days=2)))
    spec = RunSpec(job="quality", interval=interval)
    code, result, errors = run_job(stack, tmp_path, spec, name)

    assert (code, result.outcome) == (ExitCode.BAD_DATA, "failed"), errors
    assert result.error is not None
    assert result.error.code == "quality_failed"
    for expectation in ("unique_dedup_id", "null_rate_user_id", "unresolved_rate"):
        assert expectation in result.error.what
    assert str(rows_of(broken_day)[0]["dedup_id"]) in (result.error.why or "")
    assert [day.outcome for day in result.days] == ["unchanged", "stopped", "unchanged"]
    assert [day.counts.get("history_days") for day in result.days] == [WEEK, WEEK + 1, None]
    assert [day.counts.get("failed_critical") for day in result.days] == [0, 3, None]
    assert result.days[-1].why == "It has no generation yet."

    broken = result.days[-2]
    keys = {key.rpartition("/")[2] for key in broken.reports}
    assert {"quality.json", "metrics.json", "index.html", "nulls.html"} <= keys
    report = await report_of(store, report_key(name, 1, 2, "quality.json"))
    assert (report.outcome, report.rows, len(report.history_days)) == ("failed", 301, WEEK + 1)
    page = (await store.get(report_key(name, 1, 2, "index.html"), deadline_s=DEADLINE_S)).decode()
    assert "null_rate_user_id" in page
    history = await read_history(store, lake, broken_day + timedelta(days=1), deadline_s=DEADLINE_S)
    assert [metrics.rows for metrics in history] == [300] * (WEEK + 1) + [301]

    await store.put(metrics_key(made), b'{"version":1', deadline_s=DEADLINE_S)
    only_reported = msgspec.structs.replace(
        spec, interval=None, date=str(broken_day), quality=QualityParameters(fail=False)
    )
    code, result, errors = run_job(stack, tmp_path, only_reported, f"{name}-again")
    assert (code, result.outcome) == (0, "succeeded"), errors
    assert result.counts["days_failed"] == 1
    assert result.days[0].outcome == "stopped"
    mended = await read_history(store, lake, broken_day + timedelta(days=1), deadline_s=DEADLINE_S)
    assert mended == history, "metrics that were torn are measured again"


async def test_history_goes_back_to_the_last_generation_that_was_measured(
    store: S3ObjectStore, lake: LakeStore
) -> None:
    day, name = date(secrets.randbelow(900) + 5_000, 3, 1), f"quality-{secrets.token_hex(4)}"
    measured = await put_day(store, lake, day, name, rows_of(day))
    metrics = DayMetrics(event_date=str(day), rows=300)
    await store.put(metrics_key(measured), encode_metrics(metrics), deadline_s=DEADLINE_S)
    compacted = msgspec.structs.replace(
        measured,
        job="compact",
        id=PlanId(run=f"{name}-compact", attempt=1, plan=1),
        previous=generation_key(measured.id.run, 1, 1),
    )
    current = await lake.read_day(str(day))
    key = await lake.store_generation(compacted)
    assert await lake.swap(str(day), current.pointer, key, now_ms=2) == 2
    after = day + timedelta(days=1)
    assert await read_history(store, lake, after, deadline_s=DEADLINE_S) == [metrics]
    lost = msgspec.structs.replace(compacted, previous="runs/none/attempt=1/plan=1/result.json")
    other = day + timedelta(days=100)
    lost = msgspec.structs.replace(lost, id=PlanId(run=f"{name}-lost", attempt=1, plan=1))
    await lake.swap(str(other), None, await lake.store_generation(lost), now_ms=3)
    assert await read_history(store, lake, other + timedelta(days=1), deadline_s=DEADLINE_S) == []
