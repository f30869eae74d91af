"""The edges of a plan: all that the log holds, below its end, and the same again from the object beside the plan."""

from __future__ import annotations

import pytest

from headrace_core.errors import BadData
from headrace_core.identity import Edge, EdgeRecord, edge_key, encode_edge
from headrace_core.topics import IDENTITY_EDGES
from headrace_runtime.memory_log import MemoryLog, MemoryLogAdmin, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec
from headrace_spark.edges import EdgeSnapshot, decode_edges, encode_edges, read_edges

_TP = TopicPartition(IDENTITY_EDGES.name, 0)


def _edge(alias: str) -> Edge:
    return Edge(
        kind="user", alias=alias, customer_id="c1", op="assert", source="crm", confidence=1.0, valid_from=7
    )


async def _log(*values: tuple[bytes | None, bytes | None]) -> MemoryLog:
    log = MemoryLog()
    await MemoryLogAdmin(log).create_topics([TopicSpec(IDENTITY_EDGES.name, 1)])
    writer = MemoryLogWriter(log)
    await writer.start()
    for key, value in values:
        await writer.append(_TP, Batch([key], [value]), deadline_s=1.0)
    return log


async def test_all_edges_below_the_end_and_tombstones_too() -> None:
    first, second = _edge("u1"), _edge("u2")
    log = await _log(
        (edge_key(first), encode_edge(first)),
        (b"strange", b"no edge"),
        (None, encode_edge(second)),
        (edge_key(second), None),
    )
    snapshot = await read_edges(MemoryLogReader(log), deadline_s=5.0)
    assert snapshot == EdgeSnapshot(
        (EdgeRecord(0, edge_key(first), first), EdgeRecord(3, edge_key(second), None)), 4
    )


async def test_an_empty_topic_is_a_snapshot_too() -> None:
    assert await read_edges(MemoryLogReader(await _log()), deadline_s=5.0) == EdgeSnapshot()


def test_the_object_gives_the_same_edges_again() -> None:
    edge = _edge("ü")
    snapshot = EdgeSnapshot((EdgeRecord(3, edge_key(edge), edge), EdgeRecord(4, b"\xff", None)), 9)
    assert decode_edges(encode_edges(snapshot), 9) == snapshot
    assert decode_edges(encode_edges(EdgeSnapshot()), 0) == EdgeSnapshot()


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", encode_edges(EdgeSnapshot((EdgeRecord(1, b"k", _edge("a")),)))[:-3]]
)
def test_a_torn_object_is_refused(data: bytes) -> None:
    with pytest.raises(BadData):
        decode_edges(data, 1)
