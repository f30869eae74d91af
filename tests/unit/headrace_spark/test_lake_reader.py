"""Files of the lake are read in ranges, and nothing of a damaged one is believed."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_core.errors import BadData
from headrace_core.lake import LakeFile
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark import lake_reader
from headrace_spark.lake_reader import batches, fetch


@dataclass
class Store(MemoryObjectStore):
    """Remembers the ranges that were asked for."""

    ranges: list[tuple[int, int]] = field(default_factory=list)

    async def get_range(self, key: str, start: int, end: int, *, deadline_s: float) -> bytes:
        self.ranges.append((start, end))
        return await super().get_range(key, start, end, deadline_s=deadline_s)


def _file(content: bytes, rows: int = 0) -> LakeFile:
    return LakeFile(key="f", rows=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 25])
async def test_ranges_cover_the_object_and_ask_for_one_byte_more(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_reader, "_RANGE_BYTES", 10)
    content = bytes(range(size))
    store = Store()
    await store.put("f", content, deadline_s=1)
    await fetch(store, _file(content), tmp_path / "f", deadline_s=1)
    assert (tmp_path / "f").read_bytes() == content
    assert max(end - start for start, end in store.ranges) <= 11
    assert store.ranges[-1][1] == size + 1


@pytest.mark.parametrize(
    ("size", "stored"),
    [(1, 0), (9, 10), (10, 0), (10, 11), (11, 10), (20, 10), (20, 30), (25, 20), (25, 24), (25, 26)],
)
async def test_another_size_is_noticed(
    size: int, stored: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_reader, "_RANGE_BYTES", 10)
    store = Store()
    content = bytes(30)
    await store.put("f", content[:stored], deadline_s=1)
    with pytest.raises(BadData) as raised:
        await fetch(store, _file(content[:size]), tmp_path / "f", deadline_s=1)
    assert raised.value.code == "lake_file_torn"


async def test_other_bytes_are_noticed(tmp_path: Path) -> None:
    store = Store()
    await store.put("f", b"abd", deadline_s=1)
    with pytest.raises(BadData) as raised:
        await fetch(store, _file(b"abc"), tmp_path / "f", deadline_s=1)
    assert "SHA-256" in raised.value.why


def test_rows_come_in_batches_with_the_columns_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "f"
    pq.write_table(pa.table({"a": list(range(3000)), "b": ["x"] * 3000}), path)
    found = list(batches(path, _file(b"", rows=3000), ("a", "new")))
    assert [batch.num_rows for batch in found] == [1024, 1024, 952]
    assert found[0].schema.names == ["a"]


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_what_is_no_parquet_is_torn(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(BadData):
        list(batches(tmp_path / "f", _file(content), ("a",)))


def test_another_number_of_rows_is_torn(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "f")
    with pytest.raises(BadData) as raised:
        list(batches(tmp_path / "f", msgspec.structs.replace(_file(b""), rows=2), ("a",)))
    assert "holds 1 rows" in raised.value.why
