"""Extracts for Tableau hold exactly what the lake's files hold, as Hyper itself reads them back."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from headrace_core.errors import BadData, UsageError
from headrace_core.lake import LakeFile, LakeTable
from headrace_core.tables import ALL_TABLES, FINANCE_DAILY, SESSIONS, Table, TableKind
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark import hyper_extract
from headrace_spark.hyper_extract import write_hyper
from headrace_spark.settings import SparkSettings
from headrace_spark.transforms.rows import table_schema

hyperapi = pytest.importorskip("tableauhyperapi")

DEADLINE_S = 30.0
LATE = datetime(2026, 11, 28, 23, 59, 59, 999_999, UTC)
EXTREME: dict[TableKind, tuple[pa.DataType, Any]] = {
    "text": (pa.string(), 'Ünï \' "quoted"\n'),
    "timestamp": (pa.timestamp("us", "UTC"), LATE),
    "smallint": (pa.int16(), -(2**15)),
    "integer": (pa.int32(), 2**31 - 1),
    "bigint": (pa.int64(), -(2**63)),
    "decimal": (pa.decimal128(18, 4), Decimal("-99999999999999.9999")),
    "sum": (pa.decimal128(38, 4), Decimal("9999999999999999999999999999999999.9999")),
    "date": (pa.date32(), date(2026, 11, 28)),
    "boolean": (pa.bool_(), False),
}
TABLES = {table.name: table for table in ALL_TABLES}


def parquet_of(table: Table, rows: int = 2) -> bytes:
    """Rows of extremes; in the last of them every column is null that may be."""
    columns = {
        column.name: pa.array(
            [EXTREME[column.kind][1]] * (rows - 1) + [None if column.nullable else EXTREME[column.kind][1]],
            EXTREME[column.kind][0],
        )
        for column in table.columns
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


async def put(store: MemoryObjectStore, key: str, data: bytes, rows: int = 2) -> LakeFile:
    await store.put(key, data, deadline_s=DEADLINE_S)
    return LakeFile(key=key, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def rows_of(extract: bytes, table: Table, folder: Path) -> list[dict[str, Any]]:
    """What Hyper finds in an extract."""
    path = folder / "read.hyper"
    path.write_bytes(extract)
    with (
        hyperapi.HyperProcess(
            hyperapi.Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters={"log_config": ""}
        ) as hyper,
        hyperapi.Connection(hyper.endpoint, path) as connection,
    ):
        found = connection.execute_list_query(f"SELECT * FROM {table.full_name}")
    return [dict(zip(table.column_names, map(plain, row), strict=True)) for row in found]


def plain(value: Any) -> Any:
    """A value of Hyper's as Python's own."""
    if isinstance(value, hyperapi.Timestamp):
        assert value.tzinfo is None, "Tableau has no type with a zone"
        return value.to_datetime().replace(tzinfo=UTC)
    return value.to_date() if isinstance(value, hyperapi.Date) else value


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


async def extract_of(
    store: MemoryObjectStore, table: str, inputs: Sequence[LakeFile], folder: Path
) -> tuple[LakeFile, bytes]:
    made = await write_hyper(store, table, inputs, "x.hyper", scratch=folder, deadline_s=DEADLINE_S)
    assert is_empty(folder)
    return made, await store.get("x.hyper", deadline_s=DEADLINE_S)


async def test_every_table_keeps_every_value(tmp_path: Path) -> None:
    exported = [name for name in get_args(LakeTable) if name != "events"]
    for name in exported:
        store, scratch = MemoryObjectStore(), tmp_path / name
        scratch.mkdir()
        data = parquet_of(TABLES[name])
        inputs = [await put(store, "a", data), await put(store, "b", data)]
        made, extract = await extract_of(store, name, inputs, scratch)
        assert (made.rows, made.bytes, made.sha256) == (4, len(extract), hashlib.sha256(extract).hexdigest())
        assert rows_of(extract, TABLES[name], tmp_path) == pq.read_table(io.BytesIO(data)).to_pylist() * 2


async def test_files_as_spark_writes_them_are_read_exactly(
    spark: SparkSession, spark_settings: SparkSettings, lake_folder: str, tmp_path: Path
) -> None:
    row = {column.name: EXTREME[column.kind][1] for column in SESSIONS.columns}
    rows = [row, row | {"started_ts": LATE - timedelta(days=1), "customer_id": None, "is_open": True}]
    frame = spark.createDataFrame([tuple(each.values()) for each in rows], table_schema(SESSIONS))
    frame.coalesce(1).write.parquet(lake_folder)
    store, prefix = S3ObjectStore(spark_settings), lake_folder.split("/", 3)[3] + "/"
    [written] = [
        entry for entry in await store.list(prefix, deadline_s=DEADLINE_S) if entry.key.endswith(".parquet")
    ]
    memory = MemoryObjectStore()
    file = await put(memory, "s", await store.get(written.key, deadline_s=DEADLINE_S))
    _, extract = await extract_of(memory, "sessions", [file], tmp_path)
    assert rows_of(extract, SESSIONS, tmp_path) == rows


async def test_no_files_are_an_empty_table_and_columns_of_later_versions_are_null(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store = MemoryObjectStore()
    made, extract = await extract_of(store, "finance_daily", [], scratch)
    assert made.rows == 0
    assert rows_of(extract, FINANCE_DAILY, tmp_path) == []
    sink = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(parquet_of(SESSIONS))).drop_columns(["utm_source"]), sink)
    _, extract = await extract_of(store, "sessions", [await put(store, "old", sink.getvalue())], scratch)
    assert [row["utm_source"] for row in rows_of(extract, SESSIONS, tmp_path)] == [None, None]


async def test_torn_missing_and_lying_files_are_bad_data(tmp_path: Path) -> None:
    store = MemoryObjectStore()
    good = await put(store, "good", parquet_of(FINANCE_DAILY))
    torn = LakeFile(key="good", rows=2, bytes=good.bytes, sha256="0" * 64)
    gone = LakeFile(key="gone", rows=2, bytes=good.bytes, sha256=good.sha256)
    lying = LakeFile(key="good", rows=3, bytes=good.bytes, sha256=good.sha256)
    other = await put(store, "other", parquet_of(SESSIONS))
    for file, code in (
        (torn, "file_torn"),
        (gone, "file_torn"),
        (lying, "rows_differ"),
        (other, "hyper_refused"),
    ):
        with pytest.raises(BadData) as raised:
            await extract_of(store, "finance_daily", [good, file], tmp_path)
        assert raised.value.code == code
        assert is_empty(tmp_path)


async def test_too_much_for_one_extract_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryObjectStore()
    file = await put(store, "good", parquet_of(FINANCE_DAILY))
    monkeypatch.setattr(hyper_extract, "MOST_BYTES", file.bytes)
    await extract_of(store, "finance_daily", [file], tmp_path)
    with pytest.raises(UsageError, match="too large"):
        await extract_of(store, "finance_daily", [file, file], tmp_path)
