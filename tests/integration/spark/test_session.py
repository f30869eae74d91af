"""The session as every job relies on it: S3A, the committer, what files look like."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.errors import ArithmeticException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it

from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.settings import SparkSettings

DEADLINE_S = 30.0


def _keys(settings: SparkSettings, address: str) -> list[str]:
    """The objects under a folder that hold bytes: S3A marks each folder that it writes to by an empty one."""
    store = S3ObjectStore(settings)
    prefix = address.removeprefix(f"s3a://{settings.s3_bucket}/") + "/"
    return [entry.key for entry in asyncio.run(store.list(prefix, deadline_s=DEADLINE_S)) if entry.bytes]


def _footer(settings: SparkSettings, key: str) -> pq.FileMetaData:
    data = asyncio.run(S3ObjectStore(settings).get(key, deadline_s=DEADLINE_S))
    return pq.ParquetFile(io.BytesIO(data)).metadata


def test_a_generation_is_its_files_and_nothing_else(
    spark: SparkSession, spark_settings: SparkSettings, lake_folder: str
) -> None:
    rows = spark.range(1_000).withColumn("hour", F.format_string("%02d", F.col("id") % 3))
    rows.write.partitionBy("hour").parquet(f"{lake_folder}/gen=a.1.1")
    keys = _keys(spark_settings, lake_folder)
    assert keys
    assert all("/hour=" in key and "/part-" in key and key.endswith(".parquet") for key in keys), keys
    assert spark.read.parquet(f"{lake_folder}/gen=a.1.1").count() == 1_000


def test_generations_are_written_side_by_side(
    spark: SparkSession, spark_settings: SparkSettings, lake_folder: str
) -> None:
    def write(number: int) -> None:
        rows = spark.range(number * 1_000, (number + 1) * 1_000, numPartitions=3)
        rows.write.parquet(f"{lake_folder}/date=2026-11-28/gen=run.{number}.1")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for number in range(4):
        read = spark.read.parquet(f"{lake_folder}/date=2026-11-28/gen=run.{number}.1")
        assert read.agg(F.min("id"), F.max("id"), F.count("*")).collect() == [
            (number * 1_000, number * 1_000 + 999, 1_000)
        ]
    assert len(_keys(spark_settings, lake_folder)) == 12


def test_a_failed_write_leaves_no_file(
    spark: SparkSession, spark_settings: SparkSettings, lake_folder: str
) -> None:
    rows = spark.range(0, 1_000, numPartitions=4).select((1 / (F.col("id") - 900)).alias("value"))
    with pytest.raises(ArithmeticException):
        rows.write.parquet(f"{lake_folder}/gen=a.1.1")
    assert _keys(spark_settings, lake_folder) == []


def test_files_look_as_the_loader_writes_them(
    spark: SparkSession, spark_settings: SparkSettings, lake_folder: str
) -> None:
    rows = spark.range(0, 300_000, numPartitions=1).select(
        F.timestamp_micros(F.col("id")).alias("event_ts"),
        F.format_string("id-%d", "id").alias("event_id"),
        F.lit("web").alias("source"),
    )
    rows.write.parquet(f"{lake_folder}/gen=a.1.1")
    [key] = _keys(spark_settings, lake_folder)
    footer = _footer(spark_settings, key)
    group = footer.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert group.num_rows <= 128 * 1024 < footer.num_rows
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert [name for name, column in columns.items() if column.has_dictionary_page] == ["source"]
    assert columns["event_ts"].physical_type == "INT64"
    assert "timeUnit=microseconds" in str(footer.schema.column(0).logical_type)


def test_secrets_stand_on_no_command_line(spark: SparkSession, spark_settings: SparkSettings) -> None:
    assert spark.range(1).count() == 1
    secret = spark_settings.s3_secret_access_key
    assert secret is not None
    words = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert any(b"headrace" in word for word in words)
    assert not any(secret.get_secret_value().encode() in word for word in words)


def test_times_are_utc_and_overflow_is_an_error(spark: SparkSession) -> None:
    assert spark.sql("SELECT CAST(TIMESTAMP '1970-01-02 00:00:00' AS BIGINT)").collect() == [(86_400,)]
    with pytest.raises(ArithmeticException):
        spark.sql("SELECT CAST(9223372036854775807 AS BIGINT) + 1").collect()


def test_python_workers_run_this_python(spark: SparkSession) -> None:
    executable = F.udf(lambda _: sys.executable, "string")
    assert spark.range(1).select(executable("id")).collect() == [(sys.executable,)]
