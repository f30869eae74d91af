"""What a reprocess leaves to others when it cannot tidy up after itself."""

from __future__ import annotations

import io
from typing import cast

import pytest

from headrace_core.clock import ManualClock
from headrace_core.errors import Unavailable
from headrace_core.pipeline_run import RunSpec
from headrace_runtime.errors_store import StoreUnavailable
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.ports_store import ObjectInfo
from headrace_spark.context import Context
from headrace_spark.driver import SparkDriver
from headrace_spark.jobs.reprocess import reprocess
from headrace_spark.lake_store import LakeStore
from headrace_spark.outcome import Attempt
from headrace_spark.planning import Inputs
from headrace_spark.progress import Progress
from headrace_spark.revised_rows import RowRevision
from headrace_spark.settings import SparkSettings
from headrace_spark.settling import DayJob


class _Away(MemoryObjectStore):
    """A store that cannot list, and the lake of a job over it, which cannot be read."""

    @property
    def lake(self) -> _Away:
        return self

    async def inputs(self) -> Inputs:
        raise Unavailable("The lake is away.", why="A test.", fix="Try again.", code="lake_away")

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        raise StoreUnavailable("No listing.", why="A test.", fix="Try again.", code="store_away")


async def test_changes_that_cannot_be_dropped_hide_no_error() -> None:
    store, clock = _Away(), ManualClock()
    settings = SparkSettings.model_construct(store_deadline_s=1.0, mappings_dir=None)
    progress = Progress(clock, io.StringIO(), lambda: None)
    context = Context(
        attempt=Attempt("r", 1, "reprocess", dry_run=False, started_ms=0),
        settings=settings,
        clock=clock,
        store=store,
        lake=LakeStore(store, deadline_s=1),
        spark=SparkDriver(settings, progress),
        progress=progress,
        ends_by_ms=1_000,
    )

    def job_of(revision: RowRevision | None) -> DayJob:
        return cast("DayJob", store)

    with pytest.raises(Unavailable, match="The lake is away"):
        await reprocess(context, RunSpec(job="reprocess"), job_of)
