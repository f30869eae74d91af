"""Asks a Kafka node who it is and which nodes its cluster has, in the protocol itself and without a client."""

import asyncio
import struct
from dataclasses import dataclass

from headrace_local.ports import LOOPBACK

__all__ = ["ClusterView", "ask_cluster", "parse_metadata"]

_METADATA_REQUEST = struct.pack(">hhihi", 3, 2, 0, -1, 0)
"""Metadata, version 2: correlation id 0, no client id, and no topics."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as one node sees it: its id, and the ids of the live nodes."""

    cluster_id: str
    nodes: frozenset[int]


async def ask_cluster(port: int) -> ClusterView | None:
    """What the node on this loopback port says; None if nobody answers in this protocol."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return None
    try:
        writer.write(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
        size_bytes = struct.unpack(">i", await reader.readexactly(4))[0]
        return parse_metadata(await reader.readexactly(size_bytes))
    except (OSError, asyncio.IncompleteReadError, ValueError):
        return None
    finally:
        writer.close()


def parse_metadata(body: bytes) -> ClusterView:
    """Correlation id, live brokers (id, host, port, rack), cluster id; `ValueError` if it is nothing of the kind."""
    try:
        nodes: set[int] = set()
        count, at = struct.unpack_from(">i", body, 4)[0], 8
        for _ in range(count):
            node, host_bytes = struct.unpack_from(">ih", body, at)
            at += 6 + host_bytes + 4
            rack_bytes = struct.unpack_from(">h", body, at)[0]
            at += 2 + max(0, rack_bytes)
            nodes.add(node)
        id_bytes = struct.unpack_from(">h", body, at)[0]
        return ClusterView(body[at + 2 : at + 2 + id_bytes].decode(), frozenset(nodes))
    except struct.error as error:
        raise ValueError(f"not an answer to a metadata request: {error}") from error
