"""Writes a day's verdicts with Spark: a row per dedup id with all its verdicts, sorted by id within each partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it

from headrace_core.events import columns_of
from headrace_core.lake import LakeFile
from headrace_core.verdict_index import IdVerdict, VerdictFile
from headrace_core.verdict_rows import VerdictRow
from headrace_spark.driver import SparkDriver
from headrace_spark.lake_files import LakeFiles
from headrace_spark.progress import Progress
from headrace_spark.transforms.rows import schema_of
from headrace_spark.verdict_days import DayVerdicts

__all__ = ["SparkSorter"]

_ROWS_PER_FILE = 4_000_000
_SLICES = 65_536
"""Of the ids, by their first four hex digits: ids are hashes, so equal slices hold about as many of them."""


class SparkSorter:
    """`headrace_spark.verdict_days.VerdictSorter`."""

    def __init__(self, spark: SparkDriver, files: LakeFiles, progress: Progress) -> None:
        self._spark = spark
        self._files = files
        self._progress = progress

    async def sort(self, day: DayVerdicts, prefix: str) -> tuple[Mapping[int, tuple[VerdictFile, ...]], int]:
        """See `headrace_spark.verdict_days.VerdictSorter`."""
        addresses = [self._files.address(key) for keys in day.files.values() for key in keys]
        with self._progress.stage(f"verdicts {day.date}") as stage:
            stage.rows = day.verdicts
            frame = await self._spark.run(lambda session: _by_id(_read(session, addresses), day.rows))
            made = await self._files.write(prefix, frame, partition_by=["p"])
            written = [self._files.address(file.key) for file in made]
            bounds = await self._spark.run(lambda session: _bounds(session, written)) if made else {}
        files: dict[int, list[VerdictFile]] = {}
        for file in made:
            partition, _, first_id, last_id = bounds[self._files.address(file.key)]
            files.setdefault(partition, []).append(_file(file, first_id, last_id))
        ordered = {at: tuple(sorted(of, key=lambda each: each.first_id)) for at, of in files.items()}
        return ordered, sum(verdicts for _, verdicts, _, _ in bounds.values())


def _file(file: LakeFile, first_id: str, last_id: str) -> VerdictFile:
    return VerdictFile(
        key=file.key,
        rows=file.rows,
        bytes=file.bytes,
        sha256=file.sha256,
        first_id=first_id,
        last_id=last_id,
    )


def _read(session: SparkSession, addresses: Sequence[str]) -> DataFrame:
    return session.read.schema(schema_of(columns_of(VerdictRow))).parquet(*addresses)


def _by_id(rows: DataFrame, counts: Mapping[int, int]) -> DataFrame:
    """A task per file: each partition is cut into as many equal slices of its ids as it shall have files."""
    into = {partition: 1 + count // _ROWS_PER_FILE for partition, count in sorted(counts.items())}
    firsts = [0, *accumulate(into.values())]
    verdicts = F.sort_array(F.collect_list(F.struct(*IdVerdict.__struct_fields__)))
    by_id = rows.groupBy("src_partition", "dedup_id").agg(verdicts.alias("verdicts"))
    at = F.conv(F.substring("dedup_id", 1, 4), 16, 10).cast("bigint")
    slice_ = F.call_function("div", at * _of_partition(into), F.lit(_SLICES))
    first = _of_partition(dict(zip(into, firsts, strict=False)))
    placed = by_id.repartitionById(firsts[-1], (first + slice_).cast("int"))
    named = placed.select(
        "dedup_id", "verdicts", F.lpad(F.col("src_partition").cast("string"), 2, "0").alias("p")
    )
    return named.sortWithinPartitions("p", "dedup_id")


def _of_partition(values: Mapping[int, int]) -> Column:
    """The number of a row's partition."""
    known = F.create_map(*(F.lit(each) for pair in values.items() for each in pair))
    return F.element_at(known, F.col("src_partition")).cast("bigint")


def _bounds(session: SparkSession, addresses: Sequence[str]) -> dict[str, tuple[int, int, str, str]]:
    """Partition, verdicts, first and last id of each file, read back."""
    rows = session.read.parquet(*addresses).select(
        F.col("_metadata.file_path").alias("path"),
        "dedup_id",
        F.size("verdicts").alias("verdicts"),
        F.col("verdicts")[0]["src_partition"].alias("partition"),
    )
    found = rows.groupBy("path").agg(
        F.min("partition"), F.sum("verdicts"), F.min("dedup_id"), F.max("dedup_id")
    )
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in found.collect()}
