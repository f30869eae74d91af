"""The test run's Spark session behind the face that jobs know."""

from __future__ import annotations

import io

from pyspark.sql import SparkSession

from headrace_core.clock import SystemClock
from headrace_spark.driver import SparkDriver
from headrace_spark.progress import Progress
from headrace_spark.settings import SparkSettings

__all__ = ["SharedSpark"]


class SharedSpark(SparkDriver):
    """Works on the session that all tests share; closing it does not stop that."""

    def __init__(
        self, settings: SparkSettings, shared: SparkSession, progress: Progress | None = None
    ) -> None:
        super().__init__(settings, progress or Progress(SystemClock(), io.StringIO(), lambda: None))
        self._shared = shared

    async def session(self) -> SparkSession:
        """The shared session."""
        return self._shared
