"""Figure of the daily run: a day's rows deduplicated and written, rows per CPU second of driver, JVM and workers together.

Session and files are those of an installation; the files are local, so that no server's work is counted or waited for.
Beside the ordinary alternative stand, printed alone, Spark's other usual one and two engines of a single machine.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

from benchmarks.day import DAY, write_day
from benchmarks.measure import Figure, Sample, tree_cpu_seconds
from headrace_local.java import find_java
from headrace_local.spark_jars import fetch_spark_jars
from headrace_spark.session import spark_session
from headrace_spark.settings import SparkSettings
from headrace_spark.transforms.dedup import DEDUP_COLUMNS, deduplicate
from headrace_spark.transforms.rows import of_day, staged_schema, with_day

__all__ = ["SPARK_DAILY"]

_ROWS = 2_000_000
_CORES = 2

Write = Callable[[Path], object]
"""Writes the day without its copies into a folder."""


@contextmanager
def _session(scratch: Path) -> Iterator[SparkSession]:
    """The session of a job. Nothing of the servers that the settings name is asked for."""
    os.environ.setdefault("JAVA_HOME", str(find_java(os.environ).executable.resolve().parents[1]))
    settings = SparkSettings.model_validate(
        {
            "kafka_bootstrap": "127.0.0.1:9",
            "s3_bucket": "none",
            "s3_region": "none",
            "warehouse_dsn": "postgresql://127.0.0.1:9/none",
            "spark_master": f"local[{_CORES}]",
            "spark_driver_memory_mib": 4096,
            "spark_jars": fetch_spark_jars(os.environ, Path.home()),
            "spark_scratch_dir": scratch,
        }
    )
    with spark_session(settings) as session:
        yield session


def _alternatives(spark: SparkSession, day: Path) -> dict[str, Write]:
    def rows() -> DataFrame:
        return with_day(of_day(spark.read.schema(staged_schema()).parquet(f"file://{day}"), DAY))

    def ours() -> DataFrame:
        found = rows()
        return deduplicate(found, found.select(*DEDUP_COLUMNS).where("false"), DAY)

    def ranked() -> DataFrame:
        by_position = Window.partitionBy("dedup_id").orderBy("src_partition", "src_offset")
        return rows().withColumn("rank", F.row_number().over(by_position)).where("rank = 1").drop("rank")

    return {
        "ours": _by_spark(ours),
        "dropDuplicates": _by_spark(lambda: rows().dropDuplicates(["dedup_id"])),
        "row_number": _by_spark(ranked),
        "DuckDB, narrow keys": lambda folder: _by_duckdb(day, folder),
        "Polars, narrow keys": lambda folder: _by_polars(day, folder),
        "Spark, no dedup": _by_spark(rows),
    }


def _by_spark(rows: Callable[[], DataFrame]) -> Write:
    return lambda folder: rows().write.mode("overwrite").parquet(f"file://{folder}")


_DUCKDB = """
COPY (
  WITH day AS (FROM read_parquet('{day}/*.parquet')),
  repeated AS (SELECT dedup_id FROM day GROUP BY dedup_id HAVING count(*) > 1),
  ranked AS (
    SELECT src_partition, src_offset, file_id,
           row_number() OVER (PARTITION BY dedup_id ORDER BY src_partition, src_offset) AS rank
    FROM day SEMI JOIN repeated USING (dedup_id))
  SELECT day.* FROM day ANTI JOIN (FROM ranked WHERE rank > 1) USING (src_partition, src_offset, file_id)
) TO '{folder}/0.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)
"""


def _by_duckdb(day: Path, folder: Path) -> None:
    with duckdb.connect(config={"threads": _CORES, "preserve_insertion_order": False}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(_DUCKDB.format(day=day, folder=folder))


def _by_polars(day: Path, folder: Path) -> None:
    rows = pl.scan_parquet(day / "*.parquet")
    position = ["src_partition", "src_offset", "file_id"]
    narrow = rows.select("dedup_id", *position)
    repeated = narrow.group_by("dedup_id").len().filter(pl.col("len") > 1)
    few = narrow.join(repeated, on="dedup_id", how="semi").sort(position)
    displaced = few.filter(~pl.col("dedup_id").is_first_distinct())
    rows.join(displaced, on=position, how="anti").sink_parquet(
        folder / "0.parquet", compression="zstd", compression_level=1, engine="streaming"
    )


def _measured(write: Write, scratch: Path, expected: int | None) -> float:
    folder = scratch / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    before = tree_cpu_seconds(os.getpid())
    write(folder)
    seconds = tree_cpu_seconds(os.getpid()) - before
    rows = sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))
    if expected is not None and rows != expected:
        raise RuntimeError(f"{rows} rows were written instead of {expected}")
    return Sample(_ROWS, seconds).rate


async def _measure(rounds: int) -> tuple[list[float], list[float]]:
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        scratch, day = Path(folder), Path(folder) / "day"
        day.mkdir()
        different = write_day(day, _ROWS)
        with _session(scratch) as spark:
            rates: dict[str, list[float]] = {}
            for number in range(rounds + 1):
                for name, write in _alternatives(spark, day).items():
                    rate = _measured(write, scratch, None if name == "Spark, no dedup" else different)
                    if number:
                        rates.setdefault(name, []).append(rate)
    for name, found in rates.items():
        print(f"  {name:<22} {statistics.median(found):>10,.0f} rows/cpu-s", file=sys.stderr)
    return rates["ours"], rates["dropDuplicates"]


SPARK_DAILY = Figure(
    "spark_daily",
    "spark",
    "rows/cpu-s",
    ">= 110,000",
    "dropDuplicates(dedup_id) of the same rows in the same session, written alike",
    _measure,
)
"""Dedup and write of 2 M rows, 15 % copies, 24 hours."""
