"""Rows of legacy files as JSON objects, with what a mapping asks of the sender. Used by replay and by the Lambda.

Row numbers start at 1 and do not count a CSV header.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

import msgspec

from headrace_core.errors import BadData, UsageError
from headrace_core.mapping import SENDER_FIELDS, MappingSpec, template_fields

__all__ = [
    "batch_rows",
    "csv_rows",
    "line_rows",
    "needs_sender_fields",
    "plain_name",
    "rows_of",
    "with_sender_fields",
]

_COMPRESSED = (".gz", ".zst")
_LINES = (".json", ".ndjson", ".jsonl")
_encode = msgspec.json.Encoder().encode


def plain_name(name: str) -> str:
    """The name that ``_file`` stands for: without folders and compression, so that both forms of a file are one."""
    base = name.rsplit("/", 1)[-1]
    return next((base.removesuffix(suffix) for suffix in _COMPRESSED if base.endswith(suffix)), base)


def needs_sender_fields(spec: MappingSpec) -> bool:
    """Whether a template of the mapping names the file or the row."""
    templates = (spec.id, spec.time.template if spec.time else None)
    return any(set(template_fields(template)) & set(SENDER_FIELDS) for template in templates if template)


def csv_rows(lines: Iterable[str]) -> Iterator[bytes]:
    """Rows of a CSV file with a header; every value is text. Cells beyond the header have no name and end the replay."""
    for number, row in enumerate(csv.DictReader(lines), 1):
        if None in row:
            why = f"row {number} has more cells than the header has names"
            raise BadData(
                "A CSV file cannot be read.",
                why=why,
                fix="Quote the separator in its cells.",
                code="csv_ragged",
            )
        yield _encode(row)


def line_rows(lines: Iterable[str]) -> Iterator[bytes]:
    """Rows of an NDJSON file, byte for byte; empty lines are no rows."""
    return (line.strip().encode() for line in lines if line.strip())


def rows_of(name: str, lines: Iterable[str], *, sender_fields: bool) -> Iterator[bytes]:
    """The rows of a file by its name's ending. UsageError for another kind of file."""
    plain = plain_name(name)
    if plain.endswith(".csv"):
        rows = csv_rows(lines)
    elif plain.endswith(_LINES):
        rows = line_rows(lines)
    else:
        raise UsageError(
            f"{plain} is no file of rows.",
            why="Its name does not say what it holds.",
            fix="Use .csv, .json, .ndjson or .jsonl, plain or with .gz or .zst behind it.",
            code="file_kind",
        )
    if not sender_fields:
        return rows
    return (with_sender_fields(row, plain, number) for number, row in enumerate(rows, 1))


def with_sender_fields(row: bytes, name: str, number: int) -> bytes:
    """The row with ``_file`` and ``_row``; bytes that are no object stay as they are, for ingest to quarantine."""
    if not row.startswith(b"{"):
        return row
    added = b'{"_file":' + _encode(name) + b',"_row":' + str(number).encode()
    rest = row[1:].lstrip()
    return added + (rest if rest.startswith(b"}") else b"," + rest)


def batch_rows(rows: Iterable[bytes], *, max_rows: int, max_bytes: int) -> Iterator[list[bytes]]:
    """Rows in order, in groups of at most ``max_rows`` and ``max_bytes`` (a larger row stands alone)."""
    group: list[bytes] = []
    size = 0
    for row in rows:
        if group and (len(group) == max_rows or size + len(row) > max_bytes):
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row) + 1
    if group:
        yield group
