"""Raw records to rows by the code of the batch jobs: what staging makes of the same records, and what cannot be made."""

from __future__ import annotations

import hashlib

import msgspec
import pyarrow as pa
import pytest
import zstandard

from headrace_core.dialects import parse
from headrace_core.errors import BadData
from headrace_core.events import CleanEvent
from headrace_core.identify import identify
from headrace_core.mapping import MappingSpec, mapping_from
from headrace_core.meta import RequestMeta, encode_meta
from headrace_core.normalise import normalise
from headrace_core.parsed import Rejected
from headrace_core.raw_lines import RawRecord, raw_line_encoder
from headrace_loader.parquet import Overflow, arrow_schema, columns_from
from headrace_spark.raw_rows import MOVED, REASON, Rebuilder, VersionedMappings, rebuild

_KEY = "raw/date=2026-11-20/hour=12/p=03/00000000000000000000-00000000000000000002-n.jsonl.zst"
_PREFIX = "s3a://lake/"


def _spec(version: int, revenue: str) -> MappingSpec:
    return mapping_from(
        {
            "name": "orders",
            "version": version,
            "source": "shop",
            "id": "{order}",
            "fields": {"revenue": revenue},
            "constants": {"event_name": "Order"},
        }
    )


_SPECS = [_spec(1, "net"), _spec(2, "gross")]
_META = RequestMeta(
    source="shop",
    dialect="mapped",
    path="/",
    received_at=1_790_000_000_000,
    request_id="r",
    mapping="orders@1",
)


def _record(offset: int, **more: str) -> RawRecord:
    value = msgspec.json.encode({"order": f"o{offset}", "net": "1.00", "gross": "1.19", **more})
    identity = identify(parse(value, _META, VersionedMappings(_SPECS)), _META, 0)
    return RawRecord(offset, 1_790_000_000_000, identity.dedup_id, value, encode_meta(_META), 0)


def _rows(records: list[RawRecord], *instead: str, torn: bool = False) -> pa.Table:
    encode = raw_line_encoder()
    content = zstandard.ZstdCompressor().compress(b"".join(encode(record) + b"\n" for record in records))
    rebuilder = Rebuilder({_KEY: hashlib.sha256(content).hexdigest()}, _SPECS, instead, _PREFIX)
    objects = pa.RecordBatch.from_pydict(
        {"path": [_PREFIX + _KEY], "content": [content[: -1 if torn else None]]}
    )
    return pa.Table.from_batches(list(rebuilder.batches(iter([objects]))))


def test_rows_are_those_that_staging_makes() -> None:
    records = [_record(0), _record(1, note="ä" * 40_000), _record(2, note='"quoted"')]
    made = _rows(records)
    events = []
    for record in records:
        parsed = parse(record.value, _META, VersionedMappings(_SPECS))
        event = normalise(
            parsed, identify(parsed, _META, 0), _META, src_partition=3, src_offset=record.offset
        )
        events.append(event)
    overflow = Overflow()
    staged = pa.Table.from_arrays(columns_from(events, CleanEvent, overflow), schema=arrow_schema(CleanEvent))
    assert made.drop_columns([REASON, MOVED]).to_pylist() == staged.to_pylist()
    pairs = [{"key": key, "value": value} for key, value in overflow.objects.items()]
    assert len(pairs) == 1
    assert made.column(MOVED).to_pylist() == [[], pairs, []]


def test_a_named_version_reads_rows_of_all_versions() -> None:
    assert [str(revenue) for revenue in _rows([_record(0)]).column("revenue").to_pylist()] == ["1.0000"]
    made = _rows([_record(0), _record(1, gross="?")], "orders@2")
    assert [str(revenue) for revenue in made.column("revenue").to_pylist()] == ["1.1900", "None"]
    assert made.column(REASON).to_pylist() == [None, "mapping_failed"]
    assert made.column("src_offset").to_pylist() == [0, 1]


def test_another_identity_is_no_new_row() -> None:
    record = _record(0)
    other = RawRecord(0, 0, b"\0" * 16, record.value, record.meta, record.index)
    with pytest.raises(Rejected, match="dedup id"):
        rebuild(other, 3, VersionedMappings(_SPECS))


def test_a_torn_object_is_refused() -> None:
    with pytest.raises(BadData, match="raw archive"):
        _rows([_record(0)], torn=True)
