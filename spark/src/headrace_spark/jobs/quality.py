"""Job ``quality``: checks the days asked for as they are now and leaves a report of each. It changes no day.

Oldest first, and a day that was never measured gets its metrics beside its generation: so a run over the last weeks gives
an installation the history that its next days are compared with. Metrics that cannot be read are measured again and replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

from headrace_core.errors import BadData
from headrace_core.lake import Generation
from headrace_core.paths import report_key
from headrace_core.pipeline_run import DayResult, QualityParameters, RunSpec
from headrace_spark.context import Context
from headrace_spark.lake_store import CurrentDay
from headrace_spark.outcome import JobOutcome
from headrace_spark.quality.file_columns import read_columns
from headrace_spark.quality.gate import stop_reason
from headrace_spark.quality.history import KnownCounts, keep_metrics, read_counts, read_history
from headrace_spark.quality.inspection import Inspection, inspect_day
from headrace_spark.quality.metrics import DayMetrics
from headrace_spark.quality.report import METRICS_NAME

__all__ = ["run"]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """Check every day; then BadData of the first that failed, unless the run only reports."""
    asked = spec.quality or QualityParameters()
    results: list[DayResult] = []
    stops: list[BadData] = []
    for number, day in enumerate(spec.days(), 1):
        result, stop = await _check(context, day, number, dry_run=spec.dry_run)
        context.finish_day(result)
        results.append(result)
        stops += [] if stop is None else [stop]
    if stops and asked.fail:
        raise _failure(stops)
    return JobOutcome(tuple(results), _counts(results, len(stops)))


def _counts(results: Sequence[DayResult], failed: int) -> dict[str, int]:
    return {
        "days": len(results),
        "days_failed": failed,
        "days_without_generation": sum(result.generation is None for result in results),
        "rows": sum(result.counts.get("rows", 0) for result in results),
    }


def _failure(stops: Sequence[BadData]) -> BadData:
    """The error of the first day, which says how many more there are."""
    first, more = stops[0], len(stops) - 1
    what = first.what.replace("are not published", "do not meet what is expected")
    return BadData(
        f"{what} {more} more days failed." if more else what, why=first.why, fix=first.fix, code=first.code
    )


async def _check(
    context: Context, day: date, number: int, *, dry_run: bool
) -> tuple[DayResult, BadData | None]:
    with context.progress.stage(f"read history {day}"):
        current = await context.lake.read_day(str(day))
        if current.generation is None or current.pointer is None:
            return DayResult(event_date=str(day), outcome="unchanged", why="It has no generation yet."), None
        if not current.generation.files("events"):
            return _result(current, "unchanged", {"rows": 0}), None
        deadline_s = context.settings.store_deadline_s
        history = await read_history(context.store, context.lake, day, deadline_s=deadline_s)
        known = await read_counts(context.store, context.lake, current.generation, deadline_s=deadline_s)
    if dry_run:
        return _result(current, "planned", {"history_days": len(history)}), None
    inspection = await _inspect(context, current.generation, day, history, known)
    context.check_time()
    reports = await _store(context, current.generation, number, inspection, is_torn=known.is_torn)
    stop = stop_reason(inspection.report, "gate")
    counts = {
        "rows": inspection.report.rows,
        "checks": len(inspection.report.results),
        "failed": len(inspection.report.failed),
        "failed_critical": len(inspection.report.critical),
        "history_days": len(history),
    }
    return _result(current, "stopped" if stop else "unchanged", counts, reports, stop), stop


def _result(
    current: CurrentDay,
    outcome: Literal["planned", "unchanged", "stopped"],
    counts: dict[str, int],
    reports: tuple[str, ...] = (),
    stop: BadData | None = None,
) -> DayResult:
    assert current.generation is not None
    assert current.pointer is not None
    return DayResult(
        event_date=current.event_date,
        outcome=outcome,
        generation=current.generation.id.generation,
        sequence=current.pointer.sequence,
        counts=counts,
        reports=reports,
        why=None if stop is None else stop.why,
    )


async def _inspect(
    context: Context,
    generation: Generation,
    day: date,
    history: Sequence[DayMetrics],
    known: KnownCounts,
) -> Inspection:
    """Inspect the files of a generation. What only its own job could count is taken over from its metrics."""
    files = context.lake_files()
    events, deadline_s = generation.files("events"), context.settings.store_deadline_s
    addresses = [files.address(file.key) for file in events]
    with context.progress.stage(f"quality {day}") as stage:
        columns = await read_columns(context.store, events, deadline_s=deadline_s)
        inspection = await context.spark.run(
            lambda session: inspect_day(
                session.read.parquet(*addresses), day, columns=columns, given=known.given, history=history
            )
        )
        stage.rows = inspection.report.rows
    return inspection


async def _store(
    context: Context, generation: Generation, number: int, inspection: Inspection, *, is_torn: bool
) -> tuple[str, ...]:
    """Store the report beside the run, the metrics also beside the generation where it has none that can be read; keys of
    the report."""
    attempt, deadline_s = context.attempt, context.settings.store_deadline_s
    keys = {name: report_key(attempt.run, attempt.attempt, number, name) for name in sorted(inspection.files)}
    for name, key in keys.items():
        await context.store.put(key, inspection.files[name], deadline_s=deadline_s)
    if (metrics := inspection.files.get(METRICS_NAME)) is not None:
        await keep_metrics(context.store, generation, metrics, is_torn=is_torn, deadline_s=deadline_s)
    return tuple(keys.values())
