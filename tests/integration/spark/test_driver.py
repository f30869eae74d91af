"""Spark as the event loop sees it: errors, cancellation, and the bar of a person who watches."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.sql import SparkSession
from tests.support.shared_spark import SharedSpark

from headrace_core.clock import SystemClock
from headrace_core.errors import BadData, Bug, Unavailable
from headrace_spark.progress import Progress
from headrace_spark.session import open_session
from headrace_spark.settings import SparkSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shared(spark: SparkSession, spark_settings: SparkSettings) -> Callable[[io.StringIO], SharedSpark]:
    """A driver of the shared session that tells of its progress on a stream."""

    def on(out: io.StringIO) -> SharedSpark:
        return SharedSpark(spark_settings, spark, Progress(SystemClock(), out, lambda: None))

    return on


async def test_what_spark_throws_says_who_is_to_blame(shared: Callable[[io.StringIO], SharedSpark]) -> None:
    driver = shared(io.StringIO())
    with pytest.raises(Bug, match="Spark job failed"):
        await driver.run(lambda session: session.sql("SELECT 1 / 0").collect())
    with pytest.raises(BadData):
        await driver.run(lambda session: session.read.parquet("s3a://lake/nowhere.parquet"))
    with pytest.raises(ZeroDivisionError):
        await driver.run(lambda _session: 1 // 0)
    assert await driver.run(lambda session: session.range(5).count()) == 5


@pytest.mark.timeout(120)
async def test_cancelled_work_ends_and_no_more_begins(shared: Callable[[io.StringIO], SharedSpark]) -> None:
    driver = shared(io.StringIO())
    endless = asyncio.create_task(
        driver.run(lambda session: session.range(10**15).selectExpr("sum(id % 7)").collect())
    )
    session = await driver.session()
    while not session.sparkContext.statusTracker().getActiveJobsIds():  # noqa: ASYNC110 - Spark has no event for it
        await asyncio.sleep(0.05)
    await asyncio.to_thread(driver.cancel)
    with pytest.raises(Unavailable, match="cancelled"):
        await endless
    with pytest.raises(Unavailable, match="cancelled"):
        await driver.run(lambda session: session.range(5).count())


async def test_a_store_that_is_away_is_told(shared: Callable[[io.StringIO], SharedSpark]) -> None:
    """By the endpoint that this very read asks; the session's other reads keep theirs."""
    away = {"fs.s3a.bucket.away.endpoint": "http://127.0.0.1:9", "fs.s3a.bucket.away.attempts.maximum": "1"}

    def read(session: SparkSession) -> int:
        configuration = session.sparkContext._jsc.hadoopConfiguration()
        for name, value in {**away, "fs.s3a.bucket.away.retry.limit": "1"}.items():
            configuration.set(name, value)
        return session.read.parquet("s3a://away/nowhere.parquet").count()

    with pytest.raises(Unavailable) as raised:
        await shared(io.StringIO()).run(read)
    assert raised.value.code == "store_unavailable"


async def test_a_bar_that_fails_leaves_the_word_to_the_work(
    shared: Callable[[io.StringIO], SharedSpark], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(session: SparkSession) -> tuple[int, int]:
        raise Py4JNetworkError("Answer from Java side is empty")

    monkeypatch.setattr("headrace_spark.driver._tasks", fails)

    def work(session: SparkSession) -> int:
        time.sleep(1)
        return session.range(5).count()

    assert await shared(Terminal()).run(work) == 5


def test_an_error_of_the_jvm_at_the_start_is_translated(
    spark_settings: SparkSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(builder: SparkSession.Builder) -> SparkSession:
        raise Py4JNetworkError("Answer from Java side is empty")

    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", fails)
    with pytest.raises(Unavailable) as raised:
        open_session(spark_settings, tmp_path)
    assert raised.value.code == "spark_start"


async def test_a_person_who_watches_sees_tasks(shared: Callable[[io.StringIO], SharedSpark]) -> None:
    def slow(number: int) -> int:
        time.sleep(1)
        return number

    def work(session: SparkSession) -> int:
        return session.sparkContext.parallelize(range(6), 6).map(slow).sum()

    out = Terminal()
    assert await shared(out).run(work) == 15
    assert "/6 tasks" in out.getvalue()
