"""The aggregate says of awkward rows what plain Python says of them, for one day and for many at once."""

from __future__ import annotations

import math
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it
from tests.support.staged_files import clean_row

from headrace_core.events import CleanEvent, columns_of
from headrace_core.lake import LakeFile
from headrace_loader.parquet import arrow_schema
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.quality.absolute import wrong_columns
from headrace_spark.quality.checks import Check
from headrace_spark.quality.failing_rows import failing_rows
from headrace_spark.quality.file_columns import read_columns
from headrace_spark.quality.measuring import columns_of_frame, measure_day, measure_days
from headrace_spark.quality.metrics import ABSENT, DELAYS_S, UNKNOWN, DayMetrics, GivenCounts
from headrace_spark.transforms.rows import lake_schema

DAY = date(2026, 11, 20)
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)


def _row(chance: random.Random, number: int) -> dict[str, Any]:
    at = MIDNIGHT + timedelta(microseconds=chance.randrange(86_400_000_000))
    if chance.random() < 0.05:
        at = MIDNIGHT + chance.choice(
            (timedelta(microseconds=-1), timedelta(days=1), timedelta(days=1, microseconds=-1))
        )
    delay_us = chance.choice(
        (-300_000_001, -300_000_000, 0, 999_999, 10**6, 5 * 10**7, 1_800 * 10**6, 50_400 * 10**6, 10**12)
    )
    user, anonymous = (
        chance.choice((None, f"u{chance.randrange(9)}")),
        chance.choice((None, f"a{chance.randrange(9)}")),
    )
    key = f"u:{user}" if user else f"a:{anonymous}" if anonymous else f"e:e{number}"
    revenue = chance.choice((None, Decimal("0.0000"), Decimal("-19.9900"), Decimal("123456789.0001")))
    return clean_row(
        f"e{number}",
        at=at,
        offset=number,
        source=chance.choice(("shop", "app")),
        event_type=chance.choice(("track", "page", "identify", "nonsense")),
        event_name=chance.choice((None, "Order")),
        received_ts=at + timedelta(microseconds=delay_us),
        ts_quality=chance.choice(("exact", "skew_corrected", "guessed")),
        user_id=user,
        anonymous_id=anonymous,
        user_key=chance.choice((key, key, key, "u:other")),
        identity_status=chance.choice(("resolved", "anonymous", "unresolved")),
        page_url=chance.choice((None, "https://shop.example.com/")),
        revenue=revenue,
        currency=chance.choice((None, "EUR", "GBP", "euro")),
        properties=chance.choice((None, '{"b":1}')),
        schema_version=chance.choice((1, 1, 2)),
    )


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    chance = random.Random(20261120)
    made = [_row(chance, number) for number in range(1_500)]
    return made + [dict(row) for row in made[:40]]


@pytest.fixture(scope="module")
def frame(
    spark: SparkSession, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> DataFrame:
    path: Path = tmp_path_factory.mktemp("quality") / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(CleanEvent)), path)
    return spark.read.parquet(path.as_uri())


def _us(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def test_a_day_is_counted_as_plain_python_counts_it(frame: DataFrame, rows: list[dict[str, Any]]) -> None:
    metrics = measure_day(frame, DAY, GivenCounts(rows_read=7))
    assert metrics.event_date == "2026-11-20"
    assert metrics.given == GivenCounts(rows_read=7)
    assert metrics.rows == len(rows) == 1_540
    assert metrics.distinct_ids == 1_500
    assert metrics.distinct_contents == len({_content(row) for row in rows})
    assert metrics.outside_the_day == sum(row["event_ts"].date() != DAY for row in rows) > 0
    assert metrics.user_key_disagrees == sum(row["user_key"] == "u:other" for row in rows) > 0
    assert metrics.required_nulls == 0
    assert metrics.unknown == {
        "event_type": sum(row["event_type"] == "nonsense" for row in rows),
        "ts_quality": sum(row["ts_quality"] == "guessed" for row in rows),
    }
    assert metrics.schema_versions == Counter(str(row["schema_version"]) for row in rows)
    assert set(metrics.sources) == {"app", "shop"}
    for name in metrics.sources:
        _assert_source(metrics, name, [row for row in rows if row["source"] == name])


def _content(row: dict[str, Any]) -> tuple[Any, ...]:
    names = (
        "source",
        "event_type",
        "event_name",
        "user_id",
        "anonymous_id",
        "event_ts",
        "revenue",
        "properties",
    )
    return tuple(row[name] for name in names)


def _assert_source(metrics: DayMetrics, name: str, rows: list[dict[str, Any]]) -> None:
    source = metrics.sources[name]
    assert source.rows == len(rows)
    hours = Counter(row["event_ts"].hour for row in rows)
    assert source.hours == tuple(hours[hour] for hour in range(24))
    assert source.identity == Counter(row["identity_status"] for row in rows)
    assert source.delays == _delays(rows)
    typed = [row for row in rows if row["event_type"] == "page"]
    assert source.nulls["page_url"].rows == len(typed)
    assert source.nulls["page_url"].nulls == sum(row["page_url"] is None for row in typed)
    assert source.nulls["user_id"].nulls == sum(row["user_id"] is None for row in rows)
    earned = [row for row in rows if row["revenue"] is not None]
    assert source.nulls["currency"].rows == len(earned)
    assert source.nulls["currency"].nulls == sum(row["currency"] is None for row in earned)
    for key, given in (("EUR", "EUR"), ("?", "euro"), ("", None)):
        amounts = [row["revenue"] for row in earned if row["currency"] == given]
        money = source.money[key]
        assert (money.events, money.total) == (len(amounts), str(sum(amounts)))
        levels = [math.log10(abs(amount)) for amount in amounts if amount]
        assert money.amounts == len(levels)
        assert money.log10_sum == pytest.approx(sum(levels), abs=1e-5)


def _delays(rows: list[dict[str, Any]]) -> tuple[int, ...]:
    found = [0] * (len(DELAYS_S) + 1)
    for row in rows:
        delay_us = _us(row["received_ts"]) - _us(row["event_ts"])
        found[sum(delay_us >= bound * 10**6 for bound in DELAYS_S)] += 1
    assert all(found[:3])
    return tuple(found)


def test_many_days_at_once_are_as_each_alone(frame: DataFrame) -> None:
    dated = frame.withColumn("event_date", F.to_date("event_ts"))
    together = measure_days(dated)
    assert sorted(together) == ["2026-11-19", "2026-11-20", "2026-11-21"]
    for name, metrics in together.items():
        day = date.fromisoformat(name)
        alone = measure_day(dated.where(F.col("event_date") == day), day)
        assert metrics == alone
        assert metrics.outside_the_day == 0


def test_a_date_column_that_says_another_day_is_outside(frame: DataFrame) -> None:
    within = frame.where(F.to_date("event_ts") == DAY).withColumn("event_date", F.lit(date(2026, 11, 21)))
    metrics = measure_day(within, DAY)
    assert metrics.outside_the_day == metrics.rows > 0


def test_required_columns_that_are_null(frame: DataFrame) -> None:
    for name in ("dedup_id", "event_ts", "source", "src_offset", "event_type"):
        broken = frame.withColumn(name, F.when(F.col("src_offset") >= 3, F.col(name)))
        assert measure_day(broken, DAY).required_nulls == 6, name


def test_a_day_without_rows(frame: DataFrame) -> None:
    metrics = measure_day(frame.limit(0), DAY)
    assert (metrics.rows, metrics.sources, metrics.hours) == (0, {}, (0,) * 24)
    assert metrics.columns == columns_of_frame(frame)


def test_the_columns_of_the_lake_are_those_of_the_contract(spark: SparkSession, frame: DataFrame) -> None:
    of_the_lake = measure_day(spark.createDataFrame([], lake_schema()), DAY)
    assert wrong_columns(of_the_lake) == wrong_columns(measure_day(frame.limit(0), DAY)) == ()
    changed = frame.limit(0).drop("os").withColumn("src_offset", F.col("src_offset").cast("int"))
    assert wrong_columns(measure_day(changed, DAY)) == ("os", "src_offset")


async def test_the_footers_of_files_that_spark_wrote_tell_the_columns_of_the_contract(
    spark: SparkSession, frame: DataFrame, tmp_path: Path
) -> None:
    as_lake = [F.col(column.name) for column in columns_of(CleanEvent)]
    frame.limit(9).select(*as_lake).coalesce(1).write.parquet((tmp_path / "day").as_uri())
    [path] = (tmp_path / "day").glob("*.parquet")
    store, data = MemoryObjectStore(), path.read_bytes()
    await store.put("k", data, deadline_s=1)
    file = LakeFile(key="k", rows=9, bytes=len(data), sha256="")
    columns = await read_columns(store, [file], deadline_s=1)
    assert columns == columns_of_frame(spark.read.parquet(path.as_uri()))
    assert wrong_columns(DayMetrics(event_date=str(DAY), columns=columns)) == ()


@pytest.mark.parametrize(
    ("named", "shown"),
    [(UNKNOWN, {"euro"}), (ABSENT, {None}), ("GBP", {"GBP"}), (None, {None, "EUR", "GBP", "euro"})],
)
def test_rows_are_shown_of_the_currencies_that_a_check_names(
    frame: DataFrame, named: str | None, shown: set[str | None]
) -> None:
    values = () if named is None else (named,)
    check = Check(name="currency_mix", subject="shop", source="shop", measured=1, at_most=0, values=values)
    found = failing_rows(frame, DAY, check, limit=1_000)
    assert {row["currency"] for row in found} == shown
    assert all(row["revenue"] is not None and row["source"] == "shop" for row in found)
