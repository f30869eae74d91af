"""Job ``archive``: verifies the lake of closed days file by file, and lets their hot rows go from the warehouse."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from headrace_core.errors import BadData
from headrace_core.lake import LakeFile
from headrace_core.pipeline_run import ArchiveParameters, DayResult, RunSpec
from headrace_spark.archiving import Archiving, archive_day, due_days
from headrace_spark.context import Context
from headrace_spark.lake_files import LakeFiles
from headrace_spark.outcome import JobOutcome, totals
from headrace_spark.progress import Progress
from headrace_spark.warehouse_day import WarehouseDays
from headrace_spark.warehouse_expiry import WarehouseExpiry

__all__ = ["run"]

_log = logging.getLogger(__name__)


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """The days named, or all that are old enough. A day whose files are wrong fails the run, once the others are done."""
    asked = spec.archive or ArchiveParameters()
    job = _archiving(context, asked, dry_run=spec.dry_run)
    days = [day.isoformat() for day in spec.days()] or await context.lake.days()
    due = due_days(days, min_age_days=asked.min_age_days, now_ms=context.clock.now_ms())
    results: list[DayResult] = []
    wrong: list[BadData] = []
    for day in due:
        context.check_time()
        try:
            result = await archive_day(job, day)
        except BadData as error:
            _log.error("A day cannot be archived.", extra={"day": day, "error": str(error)})
            wrong.append(error)
            continue
        context.finish_day(result)
        if result.outcome != "unchanged" or result.counts or spec.days():
            results.append(result)
    if wrong:
        raise wrong[0]
    counts = totals(results) | {"days_verified": len(job.verified), "days_due": len(due)}
    return JobOutcome(tuple(results), counts)


def _archiving(context: Context, asked: ArchiveParameters, *, dry_run: bool) -> Archiving:
    settings = context.settings
    dsn, deadline_s = settings.warehouse_dsn.get_secret_value(), settings.store_deadline_s
    days = WarehouseDays(dsn, context.store, store_deadline_s=deadline_s)
    return Archiving(
        run=context.attempt.run,
        store=context.store,
        lake=context.lake,
        reader=_SparkReader(context.lake_files(), context.progress),
        hot=WarehouseExpiry(dsn, days),
        clock=context.clock,
        deadline_s=deadline_s,
        min_age_days=asked.min_age_days,
        dry_run=dry_run,
    )


class _SparkReader:
    """`headrace_spark.archiving.FileReader` over Spark's workers."""

    def __init__(self, files: LakeFiles, progress: Progress) -> None:
        self._files = files
        self._progress = progress

    async def read(self, files: Sequence[LakeFile]) -> Sequence[LakeFile]:
        """See `headrace_spark.archiving.FileReader`."""
        with self._progress.stage("verify") as stage:
            found = await self._files.read(files)
            stage.rows = sum(file.rows for file in found)
        return found
