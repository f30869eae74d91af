"""Writes event files anew with Spark: sorted by time in files of about one size, and proven to hold the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from headrace_core.errors import BadData
from headrace_core.lake import LakeFile, Plan
from headrace_core.paths import lake_prefix
from headrace_spark.compacting import LooseHour
from headrace_spark.driver import SparkDriver
from headrace_spark.lake_files import LakeFiles
from headrace_spark.progress import Progress
from headrace_spark.transforms.rows import lake_schema, with_hour

__all__ = ["SparkRewriter", "content"]

_HOUR_US = 3_600_000_000


class SparkRewriter:
    """`headrace_spark.compacting.Rewriter`."""

    def __init__(self, spark: SparkDriver, files: LakeFiles, progress: Progress) -> None:
        self._spark = spark
        self._files = files
        self._progress = progress

    async def rewrite(self, plan: Plan, hours: Sequence[LooseHour]) -> tuple[LakeFile, ...]:
        """See `headrace_spark.compacting.Rewriter`."""
        day = plan.day.event_date
        read = [file for hour in hours for file in hour.files]
        with self._progress.stage(f"compact {day}") as stage:
            stage.rows = sum(file.rows for file in read)
            frame = await self._spark.run(lambda session: _sorted(self._rows(session, read), hours))
            prefix = lake_prefix("events", day, plan.id.generation)
            made = await self._files.write(prefix, frame, partition_by=["hour"])
        with self._progress.stage(f"prove {day}"):
            await self._prove(day, read, made)
        return made

    def _rows(self, session: SparkSession, files: Sequence[LakeFile]) -> DataFrame:
        addresses = [self._files.address(file.key) for file in files]
        return session.read.schema(lake_schema()).parquet(*addresses)

    async def _prove(self, day: str, read: Sequence[LakeFile], made: Sequence[LakeFile]) -> None:
        """Both are read back: what is compared is what is stored."""
        before, after = [
            await self._spark.run(lambda session, files=files: content(self._rows(session, files)))  # type: ignore[misc]
            for files in (read, made)
        ]
        if before != after:
            raise BadData(
                f"The compaction of {day} did not keep its rows; the day stays as it is.",
                why=f"Rows and sums of their hashes were {before}, and are {after} in the files written.",
                fix="This is a defect: report it with the log of the run.",
                code="rows_differ",
            )


def content(rows: DataFrame) -> tuple[int, int, int]:
    """How many rows there are, and two sums of 64-bit hashes over all their columns, which no order changes. Nulls count:
    a value that moves to a neighbouring column is another row."""
    columns: list[Column] = [F.col(name) for name in rows.columns]
    columns += [F.col(name).isNull() for name in rows.columns]
    sums = rows.agg(
        F.count(F.lit(1)),
        F.sum(F.xxhash64(*columns).cast("decimal(38,0)")),
        F.sum(F.xxhash64(F.lit(1), *columns).cast("decimal(38,0)")),
    ).first()
    assert sums is not None
    return int(sums[0]), int(sums[1] or 0), int(sums[2] or 0)


def _sorted(rows: DataFrame, hours: Sequence[LooseHour]) -> DataFrame:
    """A task per file wanted: each hour is cut into as many equal spans of time as it shall have files."""
    firsts = [0, *accumulate(hour.into for hour in hours)]
    first = _by_hour({hour.hour: at for hour, at in zip(hours, firsts, strict=False)})
    into = _by_hour({hour.hour: hour.into for hour in hours})
    within_us = F.pmod(F.unix_micros("event_ts"), F.lit(_HOUR_US))
    span = F.call_function("div", within_us * into, F.lit(_HOUR_US))
    placed = with_hour(rows).repartitionById(firsts[-1], (first + span).cast("int"))
    return placed.sortWithinPartitions("hour", "event_ts", "src_partition", "src_offset")


def _by_hour(values: dict[int, int]) -> Column:
    """The number of a row's hour."""
    known = F.create_map(*(F.lit(each) for pair in values.items() for each in pair))
    return F.element_at(known, F.col("hour")).cast("bigint")
