"""Alias rows in COPY's text format, and in which order a transaction sends and locks."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from headrace_core.identity import AliasRow
from headrace_core.tables import SUPPRESSED_SUBJECTS
from headrace_runtime.warehouse import PostgresConnection
from headrace_runtime.warehouse_customers import copy_lines, write_customers


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


class _Recorded:
    """A connection that notes what is asked of it."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def begin(self) -> None:
        self.steps.append("BEGIN")

    async def commit(self) -> None:
        self.steps.append("COMMIT")

    async def rollback(self) -> None:
        self.steps.append("ROLLBACK")

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.steps.append(statement)
        return []

    async def count(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        self.steps.append(statement)
        return 0

    async def copy_in(self, statement: str, chunks: Iterator[bytes]) -> int:
        self.steps.append(statement)
        return sum(chunk.count(b"\n") for chunk in chunks)


async def test_rows_are_sent_before_the_lock_and_suppressed_ones_looked_for_after_it() -> None:
    connection = _Recorded()
    await write_customers(cast("PostgresConnection", connection), [_row("1")], now_us=0)
    [lock] = [at for at, step in enumerate(connection.steps) if step.endswith("FOR UPDATE")]
    before, under = connection.steps[:lock], connection.steps[lock + 1 :]
    assert before[0] == "BEGIN"
    assert any(step.startswith("COPY") for step in before)
    assert not any("analytics." in step.partition("LIKE")[0] for step in before)
    assert not any(step.startswith("COPY") for step in under)
    assert SUPPRESSED_SUBJECTS.full_name in under[0]
    assert under[-1] == "COMMIT"
