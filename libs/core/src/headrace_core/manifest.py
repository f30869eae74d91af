"""The manifest: the immutable object that makes files readable, and the chain that manifests form.

A manifest covers [start, end) of its topic's offsets whatever records stood there: holes are legal. It starts where the
one before ends, the first at 0. It is created with If-None-Match, so of two writers one wins and the other reads again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from xxhash import xxh3_128_intdigest

from headrace_core.errors import BadData
from headrace_core.paths import ChainKind

__all__ = [
    "ChainBase",
    "ChainEnd",
    "File",
    "Manifest",
    "content_of_rows",
    "content_sum",
    "decode_base",
    "decode_manifest",
    "encode_base",
    "encode_manifest",
    "next_end",
    "row_digest",
]

_MASK = (1 << 128) - 1


class File(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A data object: its key, size and digest, so that a torn or foreign object is told at once. Times in UTC us."""

    key: str
    rows: int
    bytes: int
    sha256: str
    min_event_ts: int | None = None
    max_event_ts: int | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became readable by one commit of a writer. ``content`` is the order-free 128-bit sum as 32 hex digits."""

    version: Literal[1] = 1
    kind: ChainKind
    cluster_id: str
    topic_id: str
    topic: str
    partition: int
    start: int
    end: int
    max_source_offset: int = -1
    """Running maximum of source offsets over the whole chain, carried through manifests without rows."""
    rows: int
    files: tuple[File, ...]
    rows_by_event_date: dict[str, int] = {}
    min_received_ts: int | None = None
    max_received_ts: int | None = None
    first_append_ms: int | None = None
    last_append_ms: int | None = None
    schema_version: int
    content: str = "0" * 32
    writer: str
    created_ms: int


class ChainEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chain ends: the offset that the next manifest starts at, and the running maximum of source offsets."""

    end: int = 0
    max_source_offset: int = -1


class ChainBase(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chain begins once older manifests were dropped: what the last dropped one left behind."""

    version: Literal[1] = 1
    start: int
    max_source_offset: int


encode_manifest = msgspec.json.Encoder(order="deterministic").encode
encode_base = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Manifest).decode
_decode_base = msgspec.json.Decoder(ChainBase).decode


def decode_manifest(data: bytes) -> Manifest:
    """Bytes of a manifest object; BadData where they are none."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from error


def decode_base(data: bytes) -> ChainBase:
    """Bytes of a base object; BadData where they are none."""
    try:
        return _decode_base(data)
    except msgspec.MsgspecError as error:
        raise _unreadable(error) from error


def _unreadable(error: msgspec.MsgspecError) -> BadData:
    return BadData(
        "A manifest cannot be read.",
        why=str(error),
        fix="Restore the object from its bucket version; the chain stops here until it is readable.",
        code="manifest_unreadable",
    )


def next_end(manifest: Manifest) -> ChainEnd:
    """The chain's end once ``manifest`` is its last one."""
    return ChainEnd(end=manifest.end, max_source_offset=manifest.max_source_offset)


def row_digest(dedup_id: str, src_partition: int, src_offset: int, fingerprint: int) -> int:
    """One row's part of the content sum: identity, source position and fingerprint, and nothing that a batch job changes."""
    return xxh3_128_intdigest(f"{dedup_id}:{src_partition}:{src_offset}:{fingerprint:016x}".encode())


def content_of_rows(
    dedup_ids: Iterable[str],
    src_partitions: Iterable[int],
    src_offsets: Iterable[int],
    fingerprints: Iterable[int],
) -> str:
    """``content_sum`` of the ``row_digest`` of each row, from columns: the same result at half the cost."""
    rows = zip(dedup_ids, src_partitions, src_offsets, fingerprints, strict=True)
    return content_sum(
        [xxh3_128_intdigest(f"{row[0]}:{row[1]}:{row[2]}:{row[3]:016x}".encode()) for row in rows]
    )


def content_sum(digests: Iterable[int]) -> str:
    """Order-free sum of row digests modulo 2**128 as 32 hex digits."""
    return f"{sum(digests) & _MASK:032x}"
