"""Alias rows in COPY's text format."""

from headrace_core.identity import AliasRow
from headrace_runtime.warehouse_customers import copy_lines


def _row(alias: str, valid_from: int = 0) -> AliasRow:
    return AliasRow("user", alias, f"u:{alias}", "c", "web", 0.123456, valid_from)


def test_a_row_is_a_line_in_the_order_of_the_table() -> None:
    [chunk] = copy_lines([_row("1", 1_790_000_000_123_456)])
    assert chunk == b"u:1\tuser\t1\tc\tweb\t0.1235\t2026-09-21T14:13:20.123456+00:00\n"


def test_what_would_end_a_field_or_a_line_is_escaped() -> None:
    [chunk] = copy_lines([_row("\\N\t\r\né")])
    assert chunk.decode().split("\t")[2] == "\\\\N\\t\\r\\né"
    assert chunk.count(b"\n") == 1


def test_many_rows_come_in_chunks_and_none_in_none() -> None:
    chunks = list(copy_lines(_row(str(number)) for number in range(25_000)))
    assert len(chunks) == 3
    assert sum(chunk.count(b"\n") for chunk in chunks) == 25_000
    assert list(copy_lines([])) == []
