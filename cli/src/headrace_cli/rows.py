"""Files of rows, plain or compressed, as lines of text."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from headrace_core.rows import rows_of

__all__ = ["read_rows"]


@contextmanager
def _lines(path: Path) -> Iterator[io.TextIOBase]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
            yield text
    elif path.suffix == ".zst":
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
            yield io.TextIOWrapper(reader, encoding="utf-8", newline="")
    else:
        with path.open(encoding="utf-8", newline="") as text:
            yield text


def read_rows(path: Path, *, sender_fields: bool) -> Iterator[bytes]:
    """Each row of a file as one JSON object, with ``_file`` and ``_row`` where the mapping asks for them."""
    with _lines(path) as lines:
        yield from rows_of(path.name, lines, sender_fields=sender_fields)
