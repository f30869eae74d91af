"""The binary COPY streams, read back without a server."""

import struct
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.staged_files import DAY, clean_row, encode_rows

from headrace_core.errors import BadData
from headrace_core.tables import EVENTS, stage_table
from headrace_loader.warehouse_copy import events_stream, stage_stream

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_EPOCH_US = 946_684_800_000_000
STAGE = stage_table(0)


def _fields(stream: Iterator[bytes]) -> list[list[bytes | None]]:
    """The fields of each row: PostgreSQL's documented format, read by hand."""
    data = b"".join(stream)
    assert data.startswith(_SIGNATURE)
    at = len(_SIGNATURE) + 8
    rows: list[list[bytes | None]] = []
    while (count := struct.unpack_from(">h", data, at)[0]) != -1:
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, at)
            at += 4
            row.append(None if length < 0 else data[at : at + length])
            at += max(length, 0)
        rows.append(row)
    assert at + 2 == len(data)
    return rows


def _named(names: tuple[str, ...], row: list[bytes | None]) -> dict[str, bytes | None]:
    return dict(zip(names, row, strict=True))


def test_every_column_is_sent_in_the_order_of_the_table() -> None:
    row = clean_row("a", offset=7, properties='{"a" : 1}')
    loaded_us = _EPOCH_US + 5
    [sent] = _fields(events_stream([(encode_rows([row], 42), ())], loaded_us=loaded_us))
    values = _named(EVENTS.column_names, sent)
    assert values["dedup_id"] == UUID(row["dedup_id"]).bytes
    assert values["event_id"] == b"a"
    assert values["properties"] == b'{"a" : 1}'
    assert values["context"] is None
    assert values["src_offset"] == struct.pack(">q", 7)
    assert values["file_id"] == struct.pack(">q", 42)
    assert values["loaded_ts"] == struct.pack(">q", 5)
    assert values["event_date"] == struct.pack(">i", (DAY.date() - DAY.date().replace(2000, 1, 1)).days)
    assert values["is_late"] == b"\0"


@pytest.mark.parametrize(
    ("delay", "late"),
    [
        (timedelta(hours=30) - timedelta(microseconds=1), b"\0"),
        (timedelta(hours=30), b"\1"),
    ],
)
def test_an_event_is_late_six_hours_after_its_day(delay: timedelta, late: bytes) -> None:
    row = clean_row("a", received_ts=DAY + delay)
    [sent] = _fields(stage_stream([encode_rows([row], 1)], STAGE))
    assert _named(STAGE.column_names, sent)["is_late"] == late


def test_rows_are_numbered_across_batches_and_left_out_by_number() -> None:
    rows = [clean_row(str(at), offset=at) for at in range(3_000)]
    content = encode_rows(rows, 1)
    numbers = [
        _named(STAGE.column_names, row)["row_number"] for row in _fields(stage_stream([content], STAGE))
    ]
    assert numbers == [struct.pack(">i", at) for at in range(3_000)]
    left_out = {0, 1_023, 1_024, 2_999}
    sent = _fields(events_stream([(content, left_out)], loaded_us=0))
    ids = [_named(EVENTS.column_names, row)["event_id"] for row in sent]
    assert ids == [str(at).encode() for at in range(3_000) if at not in left_out]


def test_files_follow_each_other_in_one_stream_and_each_numbers_its_own_rows() -> None:
    files = [encode_rows([clean_row(f"{at}-{row}", offset=row) for row in range(3)], at) for at in range(3)]
    sent = _fields(events_stream([(files[0], {1}), (files[1], {0, 1, 2}), (files[2], {0})], loaded_us=0))
    ids = [_named(EVENTS.column_names, row)["event_id"] for row in sent]
    assert ids == [b"0-0", b"0-2", b"2-1", b"2-2"]


def test_nothing_is_sent_where_all_rows_are_left_out() -> None:
    assert _fields(events_stream([(encode_rows([clean_row("a")], 1), {0})], loaded_us=0)) == []


def test_columns_that_an_older_file_lacks_are_null() -> None:
    table = pq.read_table(pa.BufferReader(encode_rows([clean_row("a", country="DE")], 1)))
    sink = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(["country"]), sink)
    [sent] = _fields(events_stream([(bytes(sink.getvalue()), ())], loaded_us=0))
    assert _named(EVENTS.column_names, sent)["country"] is None


@pytest.mark.parametrize("identity", ["", "ab", "g" * 32, "é" * 16])
def test_a_malformed_dedup_id_is_refused(identity: str) -> None:
    content = encode_rows([clean_row("a"), clean_row("b", dedup_id=identity)], 1)
    with pytest.raises(BadData) as raised:
        _fields(stage_stream([content], STAGE))
    assert raised.value.code == "dedup_id_malformed"
