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
from typing import Literal

import msgspec

from headrace_core.errors import BadData

__all__ = ["Block", "BlockHeader", "Verdict", "decode_block", "encode_block", "is_valid_at"]

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


_encode_header = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(BlockHeader).decode


def _bytes_of(typecode: str, values: tuple[int, ...]) -> bytes:
    column = array(typecode, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _values_of(typecode: str, data: memoryview) -> tuple[int, ...]:
    column = array(typecode)
    column.frombytes(data)
    if sys.byteorder == "big":
        column.byteswap()
    return tuple(column)


def encode_block(block: Block) -> bytes:
    """The bytes of a block; equal blocks give equal bytes, by which an owner knows its own (rule D5)."""
    head = _encode_header(block.header)
    start = block.header.start
    return b"".join(
        (
            _MAGIC,
            len(head).to_bytes(4, "little"),
            head,
            _bytes_of("I", tuple([offset - start for offset in block.offsets])),
            block.verdicts,
            _bytes_of("H", block.reasons),
            _bytes_of("q", block.first_offsets),
            _bytes_of("Q", block.fingerprints),
            block.dedup_ids,
        )
    )


def decode_block(data: bytes) -> Block:
    """A block from its record's value; BadData where the bytes are no block of this format."""
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
    deltas = _values_of("I", view[at : at + 4 * n])
    return Block(
        header=header,
        offsets=tuple([header.start + delta for delta in deltas]),
        verdicts=bytes(view[at + 4 * n : at + 5 * n]),
        reasons=_values_of("H", view[at + 5 * n : at + 7 * n]),
        first_offsets=_values_of("q", view[at + 7 * n : at + 15 * n]),
        fingerprints=_values_of("Q", view[at + 15 * n : at + 23 * n]),
        dedup_ids=bytes(view[at + 23 * n :]),
    )


def is_valid_at(header: BlockHeader, index_offset: int) -> bool:
    """Whether a block found at ``index_offset`` counts: only at the offset that it was meant for."""
    return header.index_offset == index_offset
