"""The identity edges of a plan: kept beside the plan as they were read (rule B1).

The topic is compacted, so a later reading of the same offsets may find less; the object beside the plan does not change.
"""

from __future__ import annotations

import msgspec
import zstandard

from headrace_runtime.edge_log import EdgeSnapshot, read_edges

__all__ = ["EdgeSnapshot", "encode_edges", "read_edges"]

_encode = msgspec.json.Encoder().encode_lines


def encode_edges(snapshot: EdgeSnapshot) -> bytes:
    """The object beside a plan: a JSON line per record, compressed."""
    return zstandard.ZstdCompressor(level=3).compress(_encode(snapshot.records))
