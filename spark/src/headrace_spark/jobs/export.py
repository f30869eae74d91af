"""Job ``export``: the rows of one aggregate of the days asked for, from their current generations, as an extract.

An extract is a folder of Parquet files, or one file for Tableau, with ``index.json``, which is written last and lists them.
It changes no day.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace_core.errors import BadData
from headrace_core.lake import LakeFile
from headrace_core.paths import export_prefix
from headrace_core.pipeline_run import DayResult, ExportParameters, RunSpec
from headrace_spark.context import Context
from headrace_spark.lake_store import CurrentDay
from headrace_spark.outcome import JobOutcome

__all__ = ["Extract", "run"]

_ROWS_PER_FILE = 5_000_000


class Extract(msgspec.Struct, frozen=True, kw_only=True):
    """What ``index.json`` says: the files of an extract, and the generation that each day was read from."""

    version: int = 1
    table: str
    generations: dict[str, str]
    files: tuple[LakeFile, ...]


async def run(context: Context, spec: RunSpec) -> JobOutcome:
    """Write the extract; days that have no generation yet are named and left out."""
    asked = spec.export
    assert asked is not None, "the spec was checked"
    with context.progress.stage("read pointers"):
        days = [await context.lake.read_day(day.isoformat()) for day in spec.days()]
    inputs = [file for day in days if day.generation for file in day.generation.files(asked.table)]
    files: tuple[LakeFile, ...] = ()
    index = f"{export_prefix(asked.table, context.attempt.run, context.attempt.attempt)}index.json"
    if not spec.dry_run:
        files = await (_write if asked.format == "parquet" else _write_hyper)(context, asked, inputs)
        await _write_index(context, index, asked, days, files)
    results = tuple(_day_result(day, asked, None if spec.dry_run else index) for day in days)
    counts = {
        "rows": sum(file.rows for file in inputs),
        "files": len(files),
        "bytes": sum(file.bytes for file in files),
        "days_without_generation": sum(day.generation is None for day in days),
    }
    return JobOutcome(results, counts)


async def _write(
    context: Context, asked: ExportParameters, inputs: Sequence[LakeFile]
) -> tuple[LakeFile, ...]:
    """The rows of all inputs in few files. BadData where they are not as many as the generations say."""
    rows = sum(file.rows for file in inputs)
    if not rows:
        return ()
    lake_files = context.lake_files()
    addresses = [lake_files.address(file.key) for file in inputs]
    context.check_time()
    with context.progress.stage(f"export {asked.table}") as stage:
        frame = await context.spark.run(lambda session: session.read.parquet(*addresses))
        prefix = export_prefix(asked.table, context.attempt.run, context.attempt.attempt)
        files = await lake_files.write(prefix, frame.coalesce(1 + rows // _ROWS_PER_FILE))
        stage.rows = sum(file.rows for file in files)
    if stage.rows != rows:
        raise BadData(
            "A generation does not hold the rows that it lists.",
            why=f"The files of {asked.table} hold {stage.rows} rows, their generations say {rows}.",
            fix="Compare the files with the digests in result.json and restore what differs from its bucket version.",
            code="rows_differ",
        )
    return files


async def _write_hyper(
    context: Context, asked: ExportParameters, inputs: Sequence[LakeFile]
) -> tuple[LakeFile, ...]:
    """The rows of all inputs in one file, without Spark; also an empty one, which is a table of Tableau's all the same."""
    from headrace_spark.hyper_extract import (
        write_hyper,
    )  # its engine is an extra, which other exports do without

    run, attempt = context.attempt.run, context.attempt.attempt
    context.check_time()
    with context.progress.stage(f"export {asked.table}") as stage:
        file = await write_hyper(
            context.store,
            asked.table,
            inputs,
            f"{export_prefix(asked.table, run, attempt)}{asked.table}.hyper",
            scratch=context.settings.spark_scratch_dir,
            deadline_s=context.settings.store_deadline_s,
        )
        stage.rows = file.rows
    return (file,)


async def _write_index(
    context: Context,
    key: str,
    asked: ExportParameters,
    days: Sequence[CurrentDay],
    files: tuple[LakeFile, ...],
) -> None:
    generations = {day.event_date: day.pointer.result for day in days if day.pointer is not None}
    extract = Extract(table=asked.table, generations=generations, files=files)
    context.check_time()
    await context.store.put(key, msgspec.json.encode(extract), deadline_s=context.settings.store_deadline_s)


def _day_result(day: CurrentDay, asked: ExportParameters, index: str | None) -> DayResult:
    """The day is as it was; counts say what of it is in the extract."""
    if day.generation is None or day.pointer is None:
        return DayResult(event_date=day.event_date, outcome="unchanged", why="The day has no generation yet.")
    return DayResult(
        event_date=day.event_date,
        outcome="planned" if index is None else "unchanged",
        generation=day.generation.id.generation,
        sequence=day.pointer.sequence,
        counts={"rows": sum(file.rows for file in day.generation.files(asked.table))},
        reports=() if index is None else (index,),
    )
