"""The columns of event files by their footers."""

import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.staged_files import clean_row

from headrace_core.errors import BadData
from headrace_core.events import CleanEvent, columns_of
from headrace_core.lake import LakeFile
from headrace_loader.parquet import arrow_schema
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.quality.absolute import wrong_columns
from headrace_spark.quality.file_columns import common_columns, read_columns
from headrace_spark.quality.metrics import DayMetrics

_ROW = clean_row("e1", at=datetime(2026, 3, 2, tzinfo=UTC))
_TABLE = pa.Table.from_pylist([_ROW], schema=arrow_schema(CleanEvent))


async def _put(store: MemoryObjectStore, name: str, table: pa.Table) -> LakeFile:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    data = sink.getvalue()
    await store.put(name, data, deadline_s=1)
    return LakeFile(key=name, rows=table.num_rows, bytes=len(data), sha256="")


async def test_a_file_of_the_contract_has_its_columns_with_their_types() -> None:
    store = MemoryObjectStore()
    columns = await read_columns(store, [await _put(store, "a", _TABLE)], deadline_s=1)
    assert set(columns) == {column.name for column in columns_of(CleanEvent)}
    assert wrong_columns(DayMetrics(event_date="2026-03-02", columns=columns)) == ()
    assert await read_columns(store, [], deadline_s=1) == {}


async def test_a_column_that_one_file_lacks_or_has_otherwise_is_wrong() -> None:
    store = MemoryObjectStore()
    at = _TABLE.schema.get_field_index("src_offset")
    other = _TABLE.drop_columns(["os"]).set_column(at, "src_offset", pa.array([1], pa.int32()))
    files = [await _put(store, "a", _TABLE), await _put(store, "b", other)]
    columns = await read_columns(store, files, deadline_s=1)
    assert wrong_columns(DayMetrics(event_date="2026-03-02", columns=columns)) == ("os", "src_offset")
    assert columns["src_offset"] == "bigint or int"


def test_what_only_some_have_is_no_column_of_all() -> None:
    assert common_columns([{"a": "int", "b": "int"}, {"b": "int", "c": "int"}]) == {"b": "int"}


async def test_a_footer_of_any_length_is_read() -> None:
    store = MemoryObjectStore()
    wide = pa.table({f"column_{number:04}": [1] for number in range(2_000)})
    file = await _put(store, "wide", wide)
    assert len(await read_columns(store, [file], deadline_s=1)) == 2_000


@pytest.mark.parametrize(
    "data",
    [None, b"", b"PAR1", b"x" * 90, b"\xff" * 20 + b"\xff\xff\xff\x7fPAR1", b"y" * 90 + b"\x10\0\0\0PAR1"],
)
async def test_what_is_no_parquet_file_is_torn(data: bytes | None) -> None:
    store = MemoryObjectStore()
    if data is not None:
        await store.put("k", data, deadline_s=1)
    file = LakeFile(key="k", rows=1, bytes=max(1, len(data or b"")), sha256="")
    with pytest.raises(BadData) as refused:
        await read_columns(store, [file], deadline_s=1)
    assert refused.value.code == "lake_file_torn"
