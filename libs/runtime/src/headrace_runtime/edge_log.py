"""The log of identity edges as a whole: everything that it holds now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from headrace_core.errors import BadData
from headrace_core.identity import EdgeRecord, decode_edge
from headrace_core.topics import IDENTITY_EDGES
from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.ports_log import LogReader, Record, TopicPartition

__all__ = ["EDGES", "EdgeSnapshot", "read_edges"]

EDGES = TopicPartition(IDENTITY_EDGES.name, 0)
"""The topic's only partition."""

_FETCH_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class EdgeSnapshot:
    """Edges by ascending offset, all below ``offset``."""

    records: tuple[EdgeRecord, ...] = ()
    offset: int = 0


async def read_edges(reader: LogReader, *, deadline_s: float) -> EdgeSnapshot:
    """All edges that the log holds now. Records that are no edges are passed over, as every reader of the topic does.
    Raises LogUnavailable where the brokers do not answer in time."""
    ends_at = time.monotonic() + deadline_s
    begin = (await reader.beginning_offsets([EDGES], deadline_s=deadline_s))[EDGES]
    end = (await reader.end_offsets([EDGES], deadline_s=ends_at - time.monotonic()))[EDGES]
    reader.assign({EDGES: begin})
    records: list[EdgeRecord] = []
    while reader.position(EDGES) < end:
        if time.monotonic() > ends_at:
            raise _too_slow(reader.position(EDGES), end, deadline_s)
        found = await reader.fetch(max_wait_s=_FETCH_WAIT_S)
        if EDGES in found:
            records += _edges(found[EDGES].records, end)
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


def _too_slow(position: int, end: int, deadline_s: float) -> LogUnavailable:
    return LogUnavailable(
        "The identity edges could not be read in time.",
        why=f"After {deadline_s:.0f} s offset {position} of {end} was reached.",
        fix="Nothing if the brokers come back: the run is tried again.",
        code="edges_unavailable",
    )
