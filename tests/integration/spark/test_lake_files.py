"""What a write made is known file by file, and nothing else is left in its folder."""

from __future__ import annotations

import hashlib
import io

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it
from tests.support.shared_spark import SharedSpark

from headrace_core.errors import BadData, UsageError
from headrace_core.paths import lake_prefix
from headrace_runtime.ports_store import ObjectInfo, ObjectStore
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.lake_files import LakeFiles
from headrace_spark.settings import SparkSettings

DEADLINE_S = 30.0


@pytest.fixture
def store(spark_settings: SparkSettings) -> ObjectStore:
    return S3ObjectStore(spark_settings)


@pytest.fixture
def files(spark: SparkSession, spark_settings: SparkSettings, store: ObjectStore) -> LakeFiles:
    driver = SharedSpark(spark_settings, spark)
    return LakeFiles(driver, store, bucket=spark_settings.s3_bucket, deadline_s=DEADLINE_S)


async def test_each_file_is_described_and_nothing_else_is_there(
    files: LakeFiles, store: ObjectStore, spark: SparkSession, lake_folder: str
) -> None:
    prefix = lake_prefix("events", "2026-11-28", f"{lake_folder[-12:]}.1.1")
    rows = spark.range(0, 1_000, numPartitions=2).withColumn("hour", F.format_string("%02d", F.col("id") % 3))
    made = await files.write(prefix, rows, partition_by=["hour"])
    assert sum(file.rows for file in made) == 1_000
    assert len(made) == 6
    entries = await store.list(prefix, deadline_s=DEADLINE_S)
    assert [entry.key for entry in entries] == [file.key for file in made]
    for file in made:
        data = await store.get(file.key, deadline_s=DEADLINE_S)
        assert (file.bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert pq.ParquetFile(io.BytesIO(data)).metadata.num_rows == file.rows


async def test_no_rows_are_no_files(
    files: LakeFiles, store: ObjectStore, spark: SparkSession, lake_folder: str
) -> None:
    prefix = lake_prefix("sessions", "2026-11-28", f"{lake_folder[-12:]}.1.1")
    assert await files.write(prefix, spark.range(0)) == ()
    assert await store.list(prefix, deadline_s=DEADLINE_S) == []


async def test_a_folder_is_written_once(files: LakeFiles, spark: SparkSession, lake_folder: str) -> None:
    prefix = lake_prefix("sessions", "2026-11-28", f"{lake_folder[-12:]}.1.1")
    [made] = await files.write(prefix, spark.range(5).coalesce(1))
    with pytest.raises(UsageError, match="holds files already"):
        await files.write(prefix, spark.range(5))
    assert made.rows == 5


async def test_a_torn_and_a_missing_file_are_bad_data(
    files: LakeFiles, store: ObjectStore, lake_folder: str
) -> None:
    key = f"tests/{lake_folder[-12:]}/torn.parquet"
    await store.put(key, b"PAR1 and no more", deadline_s=DEADLINE_S)
    [entry] = await store.list(f"tests/{lake_folder[-12:]}/", deadline_s=DEADLINE_S)
    with pytest.raises(BadData):
        await files.describe([entry])
    with pytest.raises(BadData):
        await files.describe([ObjectInfo(key + "x", 1, "", 0)])
