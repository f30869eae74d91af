"""The identity edges of a plan: kept beside the plan as they were read (rule B1).

The topic is compacted, so a later reading of the same offsets may find less; the object beside the plan does not change.
"""

from __future__ import annotations

import msgspec
import zstandard

from headrace_core.errors import BadData
from headrace_core.identity import EdgeRecord
from headrace_runtime.edge_log import EdgeSnapshot, read_edges

__all__ = ["EdgeSnapshot", "decode_edges", "encode_edges", "read_edges"]

_MOST_BYTES = 1 << 30
"""Of a snapshot once unpacked."""

_encode = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(EdgeRecord).decode_lines


def encode_edges(snapshot: EdgeSnapshot) -> bytes:
    """The object beside a plan: a JSON line per record, compressed."""
    return zstandard.ZstdCompressor(level=3).compress(_encode(snapshot.records))


def decode_edges(data: bytes, offset: int) -> EdgeSnapshot:
    """The snapshot that was read up to ``offset``; BadData where the bytes are none."""
    try:
        lines = zstandard.ZstdDecompressor().decompress(data, max_output_size=_MOST_BYTES)
        return EdgeSnapshot(tuple(_decode(lines)), offset)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise BadData(
            "The identity edges of a plan cannot be read.",
            why=str(error),
            fix="Restore the object from its bucket version, or let the run plan anew.",
            code="edges_unreadable",
        ) from error
