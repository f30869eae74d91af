"""What an owner sends out, as batches of the log. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace_core.topics import HEADER_FINGERPRINT, HEADER_SOURCE_OFFSET
from headrace_dedup.messages import AppendBlock, AppendClean, AppendEdges, AppendQuarantine
from headrace_runtime.ports_log import Batch
from headrace_runtime.record_headers import NO_HEADERS, encode_headers

__all__ = ["block_batch", "clean_batches", "edge_batches", "quarantine_batches"]

_BATCH_BYTES = 6 << 20
"""Of keys, values and headers: below the brokers' 8 MiB even where nothing can be compressed."""
_BATCH_RECORDS = 10_000
_NUMBER = b"\xff" * 8
_SECTION = encode_headers([(HEADER_SOURCE_OFFSET, _NUMBER), (HEADER_FINGERPRINT, _NUMBER)])
_SOURCE_AT = _SECTION.index(_NUMBER)
_FINGERPRINT_AT = _SECTION.rindex(_NUMBER)


def block_batch(action: AppendBlock) -> Batch:
    """The block as one record."""
    return Batch([None], [action.value])


def clean_batches(action: AppendClean) -> Iterator[Batch]:
    """Clean records in order, headers ``s`` and ``f``."""
    count, width = len(action.offsets), len(_SECTION)
    sections = np.tile(np.frombuffer(_SECTION, dtype=np.uint8), (count, 1))
    _put(sections, _SOURCE_AT, np.array(action.offsets, dtype=">i8"))
    _put(sections, _FINGERPRINT_AT, np.array(action.fingerprints, dtype=">u8"))
    joined = sections.tobytes()
    headers = [joined[at : at + width] for at in range(0, count * width, width)]
    yield from _cut(list(action.keys), list(action.values), headers)


def quarantine_batches(action: AppendQuarantine) -> Iterator[Batch]:
    """Quarantined records in order, with their complete headers."""
    headers = [encode_headers(pairs) for pairs in action.headers]
    yield from _cut(list(action.keys), list(action.values), headers)


def edge_batches(action: AppendEdges) -> Iterator[Batch]:
    """Identity edges, without headers."""
    yield from _cut(list(action.keys), list(action.values), [NO_HEADERS] * len(action.keys))


def _put(sections: npt.NDArray[np.uint8], at: int, numbers: npt.NDArray[Any]) -> None:
    sections[:, at : at + 8] = numbers.view(np.uint8).reshape(-1, 8)


def _cut(keys: list[bytes], values: list[bytes], headers: list[bytes]) -> Iterator[Batch]:
    """Consecutive batches of bounded size; a record larger than that gets one of its own."""
    whole = sum(map(len, keys)) + sum(map(len, values)) + sum(map(len, headers))
    if whole <= _BATCH_BYTES and len(values) <= _BATCH_RECORDS:
        yield Batch(keys, values, headers)
        return
    sizes = [sum(parts) for parts in zip(map(len, keys), map(len, values), map(len, headers), strict=True)]
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and (total + size > _BATCH_BYTES or at - start >= _BATCH_RECORDS):
            yield Batch(keys[start:at], values[start:at], headers[start:at])
            start, total = at, 0
        total += size
    yield Batch(keys[start:], values[start:], headers[start:])
