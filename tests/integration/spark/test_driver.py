"""Spark as the event loop sees it: errors, cancellation, and the bar of a person who watches."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession
from tests.support.shared_spark import SharedSpark

from headrace_core.clock import SystemClock
from headrace_core.errors import BadData, Bug, Unavailable
from headrace_spark.progress import Progress
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


async def test_a_person_who_watches_sees_tasks(shared: Callable[[io.StringIO], SharedSpark]) -> None:
    def slow(number: int) -> int:
        time.sleep(1)
        return number

    def work(session: SparkSession) -> int:
        return session.sparkContext.parallelize(range(6), 6).map(slow).sum()

    out = Terminal()
    assert await shared(out).run(work) == 15
    assert "/6 tasks" in out.getvalue()
