"""The identity edges of a plan: read from the log up to its end, and kept beside the plan (rule B1).

The topic is compacted, so a later reading of the same offsets may find less; the object beside the plan does not change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import zstandard

from headrace_core.errors import BadData
from headrace_core.identity import EdgeRecord, decode_edge
from headrace_core.topics import IDENTITY_EDGES
from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.ports_log import LogReader, Record, TopicPartition

__all__ = ["EdgeSnapshot", "decode_edges", "encode_edges", "read_edges"]

_EDGES = TopicPartition(IDENTITY_EDGES.name, 0)
_FETCH_WAIT_S = 0.5
_MOST_BYTES = 1 << 30
"""Of a snapshot once unpacked."""

_encode = msgspec.json.Encoder().encode_lines
_decode = msgspec.json.Decoder(EdgeRecord).decode_lines


@dataclass(frozen=True, slots=True)
class EdgeSnapshot:
    """Edges by ascending offset, all below ``offset``."""

    records: tuple[EdgeRecord, ...] = ()
    offset: int = 0


async def read_edges(reader: LogReader, *, deadline_s: float) -> EdgeSnapshot:
    """All edges that the log holds now. Records that are no edges are passed over, as every reader of the topic does.
    Raises LogUnavailable where the brokers do not answer in time."""
    ends_at = time.monotonic() + deadline_s
    begin = (await reader.beginning_offsets([_EDGES], deadline_s=deadline_s))[_EDGES]
    end = (await reader.end_offsets([_EDGES], deadline_s=ends_at - time.monotonic()))[_EDGES]
    reader.assign({_EDGES: begin})
    records: list[EdgeRecord] = []
    while reader.position(_EDGES) < end:
        if time.monotonic() > ends_at:
            raise _too_slow(reader.position(_EDGES), end, deadline_s)
        found = await reader.fetch(max_wait_s=_FETCH_WAIT_S)
        if _EDGES in found:
            records += _edges(found[_EDGES].records, end)
        await asyncio.sleep(0)
    return EdgeSnapshot(tuple(records), end)


def _edges(records: Iterable[Record], end: int) -> Iterable[EdgeRecord]:
    for record in records:
        if record.offset >= end or record.key is None:
            continue
        try:
            edge = None if record.value is None else decode_edge(record.value)
        except BadData:
            continue
        yield EdgeRecord(record.offset, record.key, edge)


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


def _too_slow(position: int, end: int, deadline_s: float) -> LogUnavailable:
    return LogUnavailable(
        "The identity edges could not be read in time.",
        why=f"After {deadline_s:.0f} s offset {position} of {end} was reached.",
        fix="Nothing if the brokers come back: the run is tried again.",
        code="edges_unavailable",
    )
