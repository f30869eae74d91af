"""Staged files: every value as it was, order, counts, overflow, and refusal of what this code cannot keep whole."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.support.clean_events import clean_event, fingerprint_of

from headrace_core.errors import Bug, RetryLater
from headrace_core.events import SCHEMA_VERSION, CleanEvent, encode_clean
from headrace_core.keys import file_id
from headrace_core.manifest import content_sum, row_digest
from headrace_loader.event_files import build_events, event_schema
from headrace_loader.intakes import EventRow
from headrace_loader.stage_messages import ChainIdentity, Contents, Cut

KEY = "staged/events/date=2026-09-21/hour=14/p=00/00000000000000000000-00000000000000000009-n.parquet"


def cut_of(events: list[CleanEvent]) -> Cut[EventRow]:
    rows = [(encode_clean(event), fingerprint_of(event).to_bytes(8, "big")) for event in events]
    identity = ChainIdentity("events", 0, "events.clean", "topic", "cluster")
    return Cut(identity, 0, len(events), 0, rows, 0, 1, 2, KEY)


def read(contents: Contents) -> list[dict[str, Any]]:
    key, data = contents.objects[-1]
    assert key == KEY
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data)).to_pylist()
    return rows


def test_every_value_is_read_back_as_it_was() -> None:
    events = [clean_event(at) for at in range(500)]
    contents = build_events(cut_of(events))
    rows = {row["src_offset"]: row for row in read(contents)}
    assert len(rows) == 500
    for event in events:
        row = rows[event.src_offset]
        for name, value in msgspec.structs.asdict(event).items():
            assert row[name] == as_read(name, value), name
        assert row["file_id"] == file_id(KEY)


def as_read(name: str, value: Any) -> Any:
    """A field's value as Parquet gives it."""
    if name in {"event_ts", "received_ts"}:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)
    if name == "revenue" and value is not None:
        return Decimal(value)
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else value


def test_the_file_has_the_schema_of_the_event_and_plain_types() -> None:
    data = build_events(cut_of([clean_event(1)])).objects[-1][1]
    found = pq.read_schema(io.BytesIO(data))
    assert found.equals(event_schema(), check_metadata=False)
    assert found.names == [*CleanEvent.__struct_fields__, "file_id"]
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    assert {group.column(at).compression for at in range(group.num_columns)} == {"ZSTD"}


def test_rows_are_in_order_of_event_time() -> None:
    times = [row["event_ts"] for row in read(build_events(cut_of([clean_event(at) for at in range(300)])))]
    assert times == sorted(times)
    assert len(set(times)) > 100


def test_the_manifests_facts_are_those_of_the_rows() -> None:
    events = [clean_event(at) for at in range(300)]
    contents = build_events(cut_of(events))
    data = contents.objects[-1][1]
    days = [datetime.fromtimestamp(event.event_ts // 10**6, UTC).date().isoformat() for event in events]
    assert contents.rows_by_event_date == {day: days.count(day) for day in set(days)}
    assert len(contents.rows_by_event_date) > 2
    assert contents.file.min_event_ts == min(event.event_ts for event in events)
    assert contents.file.max_event_ts == max(event.event_ts for event in events)
    assert contents.min_received_ts == min(event.received_ts for event in events)
    assert contents.max_received_ts == max(event.received_ts for event in events)
    assert (contents.file.rows, contents.file.bytes) == (300, len(data))
    assert contents.file.sha256 == hashlib.sha256(data).hexdigest()
    assert contents.content == content_sum(
        row_digest(e.dedup_id, e.src_partition, e.src_offset, fingerprint_of(e)) for e in events
    )


def test_an_event_date_before_1970_is_a_date() -> None:
    event = msgspec.structs.replace(clean_event(1), event_ts=-1)
    contents = build_events(cut_of([event]))
    assert contents.rows_by_event_date == {"1969-12-31": 1}


def test_long_values_move_out_and_leave_a_reference() -> None:
    long_json = b'{"a":"' + b"x" * 70_000 + b'"}'
    long_text = "\u00e9" * 300  # 600 bytes in a column of 512
    events = [clean_event(at) for at in range(5)]
    events[2] = msgspec.structs.replace(events[2], context=msgspec.Raw(long_json), event_name=long_text)
    events[4] = msgspec.structs.replace(events[4], context=msgspec.Raw(long_json), page_url="u" * 59_000)
    contents = build_events(cut_of(events))
    rows = {row["src_offset"]: row for row in read(contents)}
    moved = dict(contents.objects[:-1])
    assert sorted(moved.values()) == sorted([long_json, long_text.encode()])
    assert all(key == f"overflow/{hashlib.sha256(data).hexdigest()}" for key, data in moved.items())
    reference = msgspec.json.decode(rows[2]["context"])
    assert reference == {
        "$overflow": f"overflow/{hashlib.sha256(long_json).hexdigest()}",
        "bytes": len(long_json),
    }
    assert msgspec.json.decode(rows[2]["event_name"])["bytes"] == 600
    assert msgspec.json.decode(rows[2]["overflow"]) == ["event_name", "context"]
    assert msgspec.json.decode(rows[4]["overflow"]) == ["context"]
    assert rows[4]["page_url"] == "u" * 59_000
    assert rows[1]["overflow"] is None


def test_overflow_that_dedup_named_is_kept() -> None:
    event = msgspec.structs.replace(
        clean_event(1), overflow=["properties"], context=msgspec.Raw(b'"' + b"x" * 60_001 + b'"')
    )
    (row,) = read(build_events(cut_of([event])))
    assert msgspec.json.decode(row["overflow"]) == ["properties", "context"]


def test_a_newer_schema_stops_staging() -> None:
    event = msgspec.structs.replace(clean_event(1), schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(RetryLater, match="newer schema"):
        build_events(cut_of([clean_event(0), event]))


@pytest.mark.parametrize("value", [b"", b"[]", b'{"dedup_id":"00"}'])
def test_a_record_that_is_no_clean_event_stops_staging(value: bytes) -> None:
    cut = cut_of([clean_event(0)])
    cut.rows.append((value, bytes(8)))
    with pytest.raises(Bug, match="no clean event"):
        build_events(cut)


def test_a_value_that_its_column_cannot_hold_stops_staging() -> None:
    with pytest.raises(Bug, match="no clean event"):
        build_events(cut_of([msgspec.structs.replace(clean_event(0), revenue="12.34567")]))
