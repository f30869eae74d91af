"""A look-up reads the end of a file and one row group, and says so when the file is not what the index says."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_core.errors import BadData
from headrace_core.paths import verdict_index_key
from headrace_core.verdict_index import VerdictFile, VerdictIndex, decode_verdict_index, encode_verdict_index
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.verdict_lookup import find_verdicts, read_verdict_index

_S = 5.0
_D = "2026-11-28"
_FIELDS: dict[str, pa.DataType] = {
    "src_partition": pa.int32(),
    "src_offset": pa.int64(),
    "verdict": pa.string(),
    "reason": pa.string(),
    "first_offset": pa.int64(),
    "fingerprint": pa.int64(),
    "decided_ts": pa.timestamp("us", "UTC"),
    "rules_version": pa.int16(),
    "index_offset": pa.int64(),
}


def _id(number: int) -> bytes:
    """Even numbers are in the file, odd ones lie between."""
    return number.to_bytes(16, "big")


def _verdict(offset: int) -> dict[str, object]:
    return {
        "src_partition": 0,
        "src_offset": offset,
        "verdict": "accepted",
        "reason": None,
        "first_offset": None,
        "fingerprint": -offset,
        "decided_ts": 1_000_000,
        "rules_version": 1,
        "index_offset": 7,
    }


def _parquet(ids: int, group_rows: int) -> bytes:
    sink = io.BytesIO()
    schema = pa.schema([("dedup_id", pa.string()), ("verdicts", pa.list_(pa.struct(list(_FIELDS.items()))))])
    rows = [
        {"dedup_id": _id(2 * at).hex(), "verdicts": [_verdict(at), _verdict(at + 1_000_000)]}
        for at in range(ids)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), sink, row_group_size=group_rows, use_dictionary=False)
    return sink.getvalue()


async def _world(data: bytes, *, said_bytes: int | None = None) -> tuple[MemoryObjectStore, VerdictIndex]:
    store = MemoryObjectStore()
    await store.put("f", data, deadline_s=_S)
    size = len(data) if said_bytes is None else said_bytes
    file = VerdictFile(
        key="f", rows=1, bytes=size, sha256="", first_id=_id(0).hex(), last_id=_id(10**6).hex()
    )
    return store, VerdictIndex(
        date=_D, partitions=1, chain_ends={"0": 1}, files={"0": (file,)}, verdicts=1, made_ms=1
    )


async def test_one_group_is_read_and_no_more() -> None:
    data = _parquet(1_000, 100)
    store, index = await _world(data)
    found = await find_verdicts(store, index, _id(2 * 555), deadline_s=_S)
    assert [(each.src_offset, each.decided_ts) for each in found.verdicts] == [
        (555, 10**6),
        (1_000_555, 10**6),
    ]
    assert (found.requests, found.row_groups) == (2, 1)
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(5)
    span = sum(group.column(at).total_compressed_size for at in range(group.num_columns))
    assert found.bytes == min(len(data), 64 << 10) + span


async def test_an_id_between_others_is_not_there() -> None:
    store, index = await _world(_parquet(200, 100))
    within = await find_verdicts(store, index, _id(21), deadline_s=_S)
    assert (within.verdicts, within.row_groups) == ((), 1)
    between = await find_verdicts(store, index, _id(199), deadline_s=_S)
    assert (between.verdicts, between.row_groups, between.requests) == ((), 0, 1)
    beyond = await find_verdicts(store, index, _id(10**7), deadline_s=_S)
    assert (beyond.verdicts, beyond.requests) == ((), 0)


async def test_a_long_footer_takes_one_request_more() -> None:
    data = _parquet(300, 1)
    assert int.from_bytes(data[-8:-4], "little") > 64 << 10
    store, index = await _world(data)
    found = await find_verdicts(store, index, _id(2 * 299), deadline_s=_S)
    assert (len(found.verdicts), found.requests, found.row_groups) == (2, 3, 1)


@pytest.mark.parametrize("cut", [1, 4, 8, 100])
async def test_a_torn_file_is_bad_data(cut: int) -> None:
    data = _parquet(10, 10)
    store, index = await _world(data[:-cut])
    with pytest.raises(BadData) as raised:
        await find_verdicts(store, index, _id(2), deadline_s=_S)
    assert raised.value.code == "file_torn"


async def test_a_file_of_another_size_is_bad_data_and_a_missing_one_is_told() -> None:
    data = _parquet(10, 10)
    for said_bytes in (len(data) - 3, 12):
        store, index = await _world(data, said_bytes=said_bytes)
        with pytest.raises(BadData):
            await find_verdicts(store, index, _id(2), deadline_s=_S)
    await store.delete(["f"], deadline_s=_S)
    with pytest.raises(ObjectNotFound):
        await find_verdicts(store, index, _id(2), deadline_s=_S)


async def test_the_index_is_read_or_is_not_there() -> None:
    store, index = await _world(b"")
    assert await read_verdict_index(store, _D, deadline_s=_S) is None
    await store.put(verdict_index_key(_D), encode_verdict_index(index), deadline_s=_S)
    assert await read_verdict_index(store, _D, deadline_s=_S) == index
    with pytest.raises(BadData):
        decode_verdict_index(b"{")
