"""The edges of a plan: all that the log holds, below its end, and what stands beside the plan."""

from __future__ import annotations

import msgspec
import zstandard

from headrace_core.identity import Edge, EdgeRecord, edge_key, encode_edge
from headrace_core.topics import IDENTITY_EDGES
from headrace_runtime.memory_log import MemoryLog, MemoryLogAdmin, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec
from headrace_spark.edges import EdgeSnapshot, encode_edges, read_edges

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


def test_the_object_beside_a_plan_holds_a_line_per_record() -> None:
    edge = _edge("ü")
    records = (EdgeRecord(3, edge_key(edge), edge), EdgeRecord(4, b"\xff", None))
    lines = zstandard.ZstdDecompressor().decompress(encode_edges(EdgeSnapshot(records, 9)))
    assert msgspec.json.Decoder(EdgeRecord).decode_lines(lines) == list(records)
    assert zstandard.ZstdDecompressor().decompress(encode_edges(EdgeSnapshot())) == b""
