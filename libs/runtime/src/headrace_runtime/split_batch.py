"""Cuts a batch into batches of bounded size. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from headrace_runtime.ports_log import Batch

__all__ = ["split_batch"]

_MAX_RECORDS = 10_000


def split_batch(batch: Batch, *, max_bytes: int, max_records: int = _MAX_RECORDS) -> Iterator[Batch]:
    """Consecutive parts whose keys and values have at most `max_bytes`; a larger record gets a part of its own."""
    start, size = 0, 0
    for index, (key, value) in enumerate(zip(batch.keys, batch.values, strict=True)):
        weight = len(key or b"") + len(value or b"")
        if index > start and (size + weight > max_bytes or index - start >= max_records):
            yield _part(batch, start, index)
            start, size = index, 0
        size += weight
    if start < len(batch.values):
        yield _part(batch, start, len(batch.values))


def _part(batch: Batch, start: int, end: int) -> Batch:
    headers = None if batch.headers is None else batch.headers[start:end]
    return Batch(batch.keys[start:end], batch.values[start:end], headers)
