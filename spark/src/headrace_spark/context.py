"""What a job is given: Spark, the lake, settings, time, and where to say how it goes."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace_core.clock import Clock
from headrace_core.pipeline_run import DayResult
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.driver import SparkDriver
from headrace_spark.lake_files import LakeFiles
from headrace_spark.lake_store import LakeStore
from headrace_spark.outcome import Attempt
from headrace_spark.progress import Progress
from headrace_spark.run_time import check_ends_by
from headrace_spark.settings import SparkSettings

__all__ = ["Context"]


@dataclass(slots=True)
class Context:
    """One attempt of a run. ``ends_by_ms``: past it a job swaps nothing and writes no rows (B1)."""

    attempt: Attempt
    settings: SparkSettings
    clock: Clock
    store: ObjectStore
    lake: LakeStore
    spark: SparkDriver
    progress: Progress
    ends_by_ms: int
    days: list[DayResult] = field(default_factory=list)
    """What `finish_day` was told: the days that a result lists where the job is stopped halfway."""

    def lake_files(self) -> LakeFiles:
        """Where tables are written and files described."""
        deadline_s = self.settings.store_deadline_s
        return LakeFiles(self.spark, self.store, bucket=self.settings.s3_bucket, deadline_s=deadline_s)

    def finish_day(self, day: DayResult) -> None:
        """A day is done; it counts whatever happens to the ones after it."""
        self.days.append(day)

    def check_time(self) -> None:
        """RetryLater where `ends_by_ms` is past: to be called right before anything that others see."""
        check_ends_by(self.ends_by_ms, self.clock.now_ms())
