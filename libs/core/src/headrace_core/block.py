"""The index block: the record of dedup.index that holds the verdicts of one range of one raw partition (rule D3).

Layout, little endian: magic ``HRB1``, u32 header length, header as JSON, then six columns of ``count`` values each:
offset delta u32, verdict u8, reason u16, first offset i64, fingerprint u64, dedup id 16 bytes. The block is the verdict:
an append that did not land at the offset that the block names makes it void for every reader.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, TypeAlias

import msgspec

from headrace_core.errors import BadData

__all__ = [
    "Block",
    "BlockColumns",
    "BlockHeader",
    "Verdict",
    "assemble_block",
    "decode_block",
    "encode_block",
    "is_valid_at",
    "split_block",
]

_MAGIC = b"HRB1"


class Verdict(IntEnum):
    """What becomes of a raw record."""

    ACCEPTED = 1
    DUPLICATE = 2
    QUARANTINED = 3


class BlockHeader(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a block but its rows. Offsets are of the raw partition, ``end`` exclusive; ``clock_ms`` is the
    partition clock, the running maximum of append times, and the time of every acceptance in the range."""

    format: Literal[1] = 1
    cluster_id: str
    topic_id: str
    """Id of the topic events.raw that the offsets belong to."""
    partition: int
    index_offset: int
    """The offset in dedup.index that this block is meant for."""
    start: int
    end: int
    clock_ms: int
    schema_version: int
    rules_version: int
    fingerprint_version: int
    writer: str
    count: int


@dataclass(frozen=True, slots=True)
class Block:
    """A decoded block. Columns have ``header.count`` entries; ``first_offsets`` is -1 but for duplicates and conflicts."""

    header: BlockHeader
    offsets: tuple[int, ...] = ()
    verdicts: bytes = b""
    reasons: tuple[int, ...] = ()
    first_offsets: tuple[int, ...] = ()
    fingerprints: tuple[int, ...] = ()
    dedup_ids: bytes = field(default=b"", repr=False)
    """16 bytes per record, in order."""

    @property
    def is_empty(self) -> bool:
        """Whether the block covers no offsets (rule D7)."""
        return self.header.start == self.header.end


_Bytes: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class BlockColumns:
    """The columns of a block as stored: little endian, ``header.count`` entries each, in the order of the layout."""

    deltas: _Bytes
    """u32, offset - start."""
    verdicts: _Bytes
    reasons: _Bytes
    first_offsets: _Bytes
    fingerprints: _Bytes
    dedup_ids: _Bytes


_encode_header = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(BlockHeader).decode


def _bytes_of(typecode: str, values: tuple[int, ...]) -> bytes:
    column = array(typecode, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _values_of(typecode: str, data: _Bytes) -> tuple[int, ...]:
    column = array(typecode)
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    return tuple(column)


def assemble_block(header: BlockHeader, columns: BlockColumns) -> bytes:
    """The bytes of a block from its columns; equal blocks give equal bytes, by which an owner knows its own (rule D5)."""
    head = _encode_header(header)
    return b"".join(
        (
            _MAGIC,
            len(head).to_bytes(4, "little"),
            head,
            columns.deltas,
            columns.verdicts,
            columns.reasons,
            columns.first_offsets,
            columns.fingerprints,
            columns.dedup_ids,
        )
    )


def split_block(data: bytes) -> tuple[BlockHeader, BlockColumns]:
    """Header and columns of a record's value, not copied; BadData where the bytes are no block of this format."""
    try:
        if data[:4] != _MAGIC:
            raise ValueError("the magic bytes are missing")
        view = memoryview(data)
        at = 8 + int.from_bytes(data[4:8], "little")
        header = _decode_header(view[8:at])
        n = header.count
        if len(data) != at + n * 39:
            raise ValueError(f"{len(data)} bytes, {at + n * 39} expected")
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadData(
            "A record of dedup.index is no index block.",
            why=str(error),
            fix="Nothing but dedup workers may write to the topic; rebuild with --rebuild-index.",
            code="index_unreadable",
        ) from error
    ends = [at + n * width for width in (4, 5, 7, 15, 23, 39)]
    return header, BlockColumns(*[view[start:end] for start, end in zip([at, *ends[:-1]], ends, strict=True)])


def encode_block(block: Block) -> bytes:
    """The bytes of a block; equal blocks give equal bytes."""
    start = block.header.start
    return assemble_block(
        block.header,
        BlockColumns(
            deltas=_bytes_of("I", tuple([offset - start for offset in block.offsets])),
            verdicts=block.verdicts,
            reasons=_bytes_of("H", block.reasons),
            first_offsets=_bytes_of("q", block.first_offsets),
            fingerprints=_bytes_of("Q", block.fingerprints),
            dedup_ids=block.dedup_ids,
        ),
    )


def decode_block(data: bytes) -> Block:
    """A block from its record's value; BadData where the bytes are no block of this format."""
    header, columns = split_block(data)
    return Block(
        header=header,
        offsets=tuple([header.start + delta for delta in _values_of("I", columns.deltas)]),
        verdicts=bytes(columns.verdicts),
        reasons=_values_of("H", columns.reasons),
        first_offsets=_values_of("q", columns.first_offsets),
        fingerprints=_values_of("Q", columns.fingerprints),
        dedup_ids=bytes(columns.dedup_ids),
    )


def is_valid_at(header: BlockHeader, index_offset: int) -> bool:
    """Whether a block found at ``index_offset`` counts: only at the offset that it was meant for."""
    return header.index_offset == index_offset
