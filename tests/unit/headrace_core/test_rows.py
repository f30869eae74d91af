"""Rows of legacy files: nothing lost, nothing invented, and the sender's fields only where a mapping asks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.errors import BadData, UsageError
from headrace_core.mapping import mapping_from
from headrace_core.rows import batch_rows, needs_sender_fields, plain_name, rows_of, with_sender_fields


def test_a_csv_row_becomes_an_object_of_text() -> None:
    lines = ["a,b\n", '1,"x, ""y"""\n', ",\n"]
    rows = [json.loads(row) for row in rows_of("f.csv", lines, sender_fields=False)]
    assert rows == [{"a": "1", "b": 'x, "y"'}, {"a": "", "b": ""}]


def test_file_and_row_stand_beside_the_row() -> None:
    rows = list(rows_of("in/2010-12.csv.zst", ["a\n", "1\n", "2\n"], sender_fields=True))
    assert [json.loads(row) for row in rows] == [
        {"_file": "2010-12.csv", "_row": 1, "a": "1"},
        {"_file": "2010-12.csv", "_row": 2, "a": "2"},
    ]


def test_lines_stay_byte_for_byte() -> None:
    line = '{"b": 1.0, "a":"\\u00e9"}'
    assert list(rows_of("f.ndjson.gz", [line + "\r\n", "\n"], sender_fields=False)) == [line.encode()]
    assert with_sender_fields(line.encode(), "f", 3) == b'{"_file":"f","_row":3,' + line[1:].encode()
    assert json.loads(with_sender_fields(b"{ }", "f", 1)) == {"_file": "f", "_row": 1}
    assert with_sender_fields(b"[1]", "f", 1) == b"[1]"


def test_a_ragged_csv_is_refused_and_says_where() -> None:
    with pytest.raises(BadData, match="Quote the separator") as caught:
        list(rows_of("f.csv", ["a\n", "1\n", "1,2\n"], sender_fields=False))
    assert "row 2" in caught.value.why


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(UsageError, match="no file of rows"):
        rows_of("f.xlsx", [], sender_fields=False)


@pytest.mark.parametrize("name", ["a/b/f.csv", "f.csv.gz", "f.csv.zst", "f.csv"])
def test_folders_and_compression_do_not_name_a_file(name: str) -> None:
    assert plain_name(name) == "f.csv"


def test_only_templates_ask_for_the_senders_fields() -> None:
    mapping = {"name": "m", "version": 1, "source": "s"}
    assert not needs_sender_fields(mapping_from(mapping))
    assert not needs_sender_fields(mapping_from(mapping | {"id": "{order}"}))
    assert needs_sender_fields(mapping_from(mapping | {"id": "{_file}#{_row}"}))


@given(
    st.lists(st.binary(max_size=40), max_size=60),
    st.integers(min_value=1, max_value=10),
    st.integers(min_value=1, max_value=100),
)
def test_batches_hold_every_row_in_order_within_the_limits(rows: list[bytes], most: int, size: int) -> None:
    groups = list(batch_rows(rows, max_rows=most, max_bytes=size))
    assert [row for group in groups for row in group] == rows
    assert all(0 < len(group) <= most for group in groups)
    assert all(len(group) == 1 or sum(map(len, group)) <= size for group in groups)
