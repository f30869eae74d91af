"""From records to rows: headers, raw lines, verdicts of valid blocks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard
from tests.support.clean_events import clean_event, clean_headers, fingerprint_of

from headrace_core.block import Block, BlockHeader, Verdict, encode_block
from headrace_core.errors import BadData, Bug, ConfigurationError
from headrace_core.events import encode_clean
from headrace_core.manifest import content_sum, row_digest
from headrace_core.meta import encode_index
from headrace_core.raw_lines import decode_raw_line
from headrace_core.reasons import Reason
from headrace_loader.archive import build_raw, build_verdicts, verdict_schema
from headrace_loader.intakes import EventIntake, RawIntake, VerdictIntake
from headrace_loader.stage_messages import ChainIdentity, Cut


@dataclass(frozen=True)
class Rec:
    """A record as a reader hands it out."""

    offset: int
    value: bytes | None = None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = 1_790_000_000_000


def cut_of(kind: Any, rows: list[Any]) -> Cut[Any]:
    return Cut(ChainIdentity(kind, 0, "t", "t1", "c1"), 0, 9, 9, rows, 0, 1, 2, f"{kind}/key")


def test_clean_rows_carry_value_source_offset_and_fingerprint() -> None:
    events = [clean_event(at, source_offset=at * 3) for at in range(4)]
    records = [Rec(at, encode_clean(event), headers=clean_headers(event)) for at, event in enumerate(events)]
    records[2] = Rec(2, records[2].value, headers=[*reversed(records[2].headers), ("x", b"1")])
    sources, rows = EventIntake().rows(records)
    assert sources == [0, 3, 6, 9]
    assert rows == [(encode_clean(e), fingerprint_of(e).to_bytes(8, "big")) for e in events]
    assert EventIntake().size_bytes(rows) > sum(len(value) for value, _ in rows)


@pytest.mark.parametrize(
    "headers", [(), [("s", bytes(8))], [("f", bytes(8)), ("x", b"1")], [("s", b""), ("f", b"1")]]
)
def test_a_clean_record_without_its_headers_stops_staging(headers: Any) -> None:
    with pytest.raises(Bug, match="fingerprint"):
        EventIntake().rows([Rec(7, b"{}", headers=headers)])


META = b'{"version":1,"source":"shop","x":[1, 2]}'


def test_raw_records_come_back_from_their_lines_byte_for_byte() -> None:
    records = [
        Rec(5, b'{"a": "\xc3\xa9\\n"}', b"\x00" * 16, [("m", META), ("i", encode_index(0))]),
        Rec(
            6, b"\xff\xfe", None, [("m", META), ("i", encode_index(1)), ("r", b'{"partition":1,"offset":2}')]
        ),
        Rec(7, b"", b"k", [("m", b"{broken"), ("r", b"\xff")]),
        Rec(9, b"two\nlines", b"k", [("m", b'{"a":\n1}')]),
        Rec(10, b'"last"', b"k", [("m", META), ("i", encode_index(2))]),
        Rec(11, b"bare"),
    ]
    sources, lines = RawIntake().rows(records)
    assert sources == [5, 6, 7, 9, 10, 11]
    assert not any(b"\n" in line for line in lines)
    for record, line in zip(records, lines, strict=True):
        found, headers = decode_raw_line(line), dict(record.headers)
        assert (found.offset, found.appended_ms) == (record.offset, record.timestamp)
        assert (found.key, found.value) == (record.key, record.value)
        assert (found.meta, found.rerun) == (headers.get("m"), headers.get("r"))
        assert found.index == (int.from_bytes(headers["i"] or b"", "big") if "i" in headers else None)


def test_raw_files_hold_the_lines() -> None:
    _, lines = RawIntake().rows([Rec(at, b"%d" % at) for at in range(50)])
    contents = build_raw(cut_of("raw", lines))
    data = zstandard.decompress(contents.objects[0][1])
    assert data.split(b"\n") == [*lines, b""]
    assert contents.file.rows == 50


@pytest.mark.parametrize(
    "line", [b"", b"[]", b'{"o":1}x', b'{"o":1,"t":2,"k":"zz"}', b'{"o":1,"t":2,"b":"!"}']
)
def test_a_damaged_line_is_told(line: bytes) -> None:
    with pytest.raises(BadData, match="raw archive"):
        decode_raw_line(line)


def block(index_offset: int, start: int, **header: Any) -> Block:
    fields: dict[str, Any] = {
        "cluster_id": "c1",
        "topic_id": "raw-1",
        "partition": 2,
        "index_offset": index_offset,
        "start": start,
        "end": start + 10,
        "clock_ms": 77,
        "schema_version": 1,
        "rules_version": 4,
        "fingerprint_version": 1,
        "writer": "d",
        "count": 3,
    }
    return Block(
        BlockHeader(**{**fields, **header}),
        offsets=(start, start + 4, start + 9),
        verdicts=bytes([Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED]),
        reasons=(Reason.NONE.number, Reason.NONE.number, 60_000),
        first_offsets=(-1, 3, -1),
        fingerprints=(1, 2**64 - 2, 3),
        dedup_ids=bytes(range(48)),
    )


def intake() -> VerdictIntake:
    return VerdictIntake(cluster_id="c1", raw_topic_id="raw-1")


def test_void_blocks_give_no_verdicts() -> None:
    records = [Rec(at, encode_block(block(meant, 10 * at))) for at, meant in enumerate([0, 0, 2])]
    sources, rows = intake().rows(records)
    assert sources == [0, 4, 9, 20, 24, 29]
    assert {row.index_offset for row in rows} == {0, 2}


@pytest.mark.parametrize("header", [{"topic_id": "raw-0"}, {"cluster_id": "c0"}])
def test_blocks_of_another_raw_topic_stop_the_archive(header: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="another"):
        intake().rows([Rec(0, encode_block(block(0, 0, **header)))])


def test_verdict_files_hold_every_column() -> None:
    _, rows = intake().rows([Rec(3, encode_block(block(3, 100)))])
    contents = build_verdicts(cut_of("verdicts", rows))
    table = pq.read_table(io.BytesIO(contents.objects[0][1]))
    assert table.schema.equals(verdict_schema(), check_metadata=False)
    found = table.to_pylist()
    assert [row["verdict"] for row in found] == ["accepted", "duplicate", "quarantined"]
    assert [row["reason"] for row in found] == [None, None, "reason-60000"]
    assert [row["first_offset"] for row in found] == [None, 3, None]
    assert [row["fingerprint"] for row in found] == [1, -2, 3]
    assert [row["src_offset"] for row in found] == [100, 104, 109]
    assert found[1]["dedup_id"] == bytes(range(16, 32)).hex()
    common = {name: found[0][name] for name in ("src_partition", "rules_version", "index_offset")}
    assert common == {"src_partition": 2, "rules_version": 4, "index_offset": 3}
    assert found[0]["decided_ts"].timestamp() == 0.077
    assert contents.content == content_sum(
        row_digest(row.dedup_id, row.partition, row.offset, row.fingerprint) for row in rows
    )
