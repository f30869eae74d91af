"""Spark as the event loop sees it: started at first use, asked in threads, cancelled from outside."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from headrace_core.errors import Unavailable
from headrace_spark.progress import Progress
from headrace_spark.session import spark_session
from headrace_spark.settings import SparkSettings
from headrace_spark.spark_errors import explain_spark_error, text_of

__all__ = ["SparkDriver"]

ResultT = TypeVar("ResultT")

_FOREIGN = (Py4JError, PySparkException, ConnectionError, TimeoutError, EOFError)
"""What PySpark raises: of the JVM, and of the sockets to it and to its workers."""

_GROUP = "headrace"
_BAR_EVERY_S = 0.5
_START_WITHIN_S = 180.0


class SparkDriver:
    """The one Spark session of a job. Work on it runs in threads, so that deadlines and signals keep working."""

    def __init__(self, settings: SparkSettings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._starting: asyncio.Task[SparkSession] | None = None
        self._asked: SparkSession | None = None
        self._cancelled = False

    async def session(self) -> SparkSession:
        """The session, started by the first who asks. Raises ConfigurationError and Unavailable as `open_session`."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def run(self, work: Callable[[SparkSession], ResultT]) -> ResultT:
        """What ``work`` returns, from a thread. Exceptions of Spark become errors of the project; after `cancel` the work
        ends soon, by an error."""
        self._asked = session = await self.session()
        asked = asyncio.create_task(asyncio.to_thread(self._in_thread, work, session))
        try:
            while self._progress.terminal and not (await asyncio.wait([asked], timeout=_BAR_EVERY_S))[0]:
                try:
                    tasks = await asyncio.to_thread(_tasks, session)
                except _FOREIGN:
                    break  # whatever ails Spark, the work itself ends by it, and says it better
                self._progress.bar(*tasks)
            return await asked
        finally:
            asked.cancel()

    def cancel(self) -> None:
        """Cancel what Spark runs now and what it would be asked later. Blocks for a moment: call it in a thread."""
        self._cancelled = True
        if self._asked is not None:
            with contextlib.suppress(Py4JError, OSError):
                self._asked.sparkContext.cancelAllJobs()

    def close(self) -> None:
        """Stop Spark. Blocks for seconds: call it in a thread."""
        with contextlib.suppress(Py4JError, OSError):
            self._stack.close()

    async def _start(self) -> SparkSession:
        try:
            async with asyncio.timeout(_START_WITHIN_S):
                with self._progress.stage("start spark"):
                    return await asyncio.to_thread(self._stack.enter_context, spark_session(self._settings))
        except TimeoutError:
            raise Unavailable(
                "Spark did not start in time.",
                why=f"{_START_WITHIN_S:.0f} s passed.",
                fix="See its own words above; the machine may be too busy, or executors find no place in the cluster.",
                code="spark_start",
            ) from None

    def _in_thread(self, work: Callable[[SparkSession], ResultT], session: SparkSession) -> ResultT:
        if self._cancelled:
            raise _stopped()
        try:
            session.sparkContext.setJobGroup(_GROUP, _GROUP, interruptOnCancel=True)
            return work(session)
        except _FOREIGN as error:
            if self._cancelled:
                raise _stopped() from error
            raise explain_spark_error(text_of(error)) from error


def _tasks(session: SparkSession) -> tuple[int, int]:
    """Tasks done, and all tasks, of the stages that run."""
    tracker = session.sparkContext.statusTracker()
    infos = [
        info for stage in tracker.getActiveStageIds() if (info := tracker.getStageInfo(stage)) is not None
    ]
    return sum(info.numCompletedTasks for info in infos), sum(info.numTasks for info in infos)


def _stopped() -> Unavailable:
    return Unavailable("Spark's work was cancelled.", why="The run was asked to stop.", code="cancelled")
