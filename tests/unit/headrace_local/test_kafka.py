"""The configuration of a node follows the size of its cluster."""

import struct
from pathlib import Path

import pytest

from headrace_local.class_archive import ClassArchive
from headrace_local.kafka import KafkaSettings, server_properties
from headrace_local.kafka_probe import ClusterView, parse_metadata


@pytest.mark.parametrize(("nodes", "replicas", "in_sync"), [(1, 1, 1), (3, 3, 2)])
def test_replication_follows_the_number_of_nodes(nodes: int, replicas: int, in_sync: int) -> None:
    settings = KafkaSettings("cluster", {n: 9000 + n for n in range(1, nodes + 1)}, fast=True)
    properties = server_properties(1, {"client": 1, "controller": 9001}, settings, Path("data"))
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        assert properties[f"{topic}.replication.factor"] == replicas
    assert properties["default.replication.factor"] == replicas
    assert properties["min.insync.replicas"] == in_sync
    assert properties["controller.quorum.voters"] == ",".join(
        f"{n}@127.0.0.1:{9000 + n}" for n in range(1, nodes + 1)
    )


def test_a_node_listens_on_loopback_only() -> None:
    settings = KafkaSettings("cluster", {1: 9001}, fast=True)
    properties = server_properties(1, {"client": 9000, "controller": 9001}, settings, Path("data"))
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9000,CONTROLLER://127.0.0.1:9001"
    assert properties["auto.create.topics.enable"] == "false"


def _metadata(cluster: bytes, *nodes: tuple[int, bytes, bytes | None]) -> bytes:
    """An answer of version 2: brokers, cluster id, controller, no topics."""
    body = struct.pack(">ii", 7, len(nodes))
    for node, host, rack in nodes:
        body += struct.pack(">ih", node, len(host)) + host + struct.pack(">i", 9092)
        body += struct.pack(">h", -1) if rack is None else struct.pack(">h", len(rack)) + rack
    return body + struct.pack(">h", len(cluster)) + cluster + struct.pack(">ii", 1, 0)


def test_the_nodes_and_the_cluster_are_read_from_a_metadata_answer() -> None:
    body = _metadata(b"abc", (1, b"localhost", None), (3, b"h", b"rack-a"))
    assert parse_metadata(body) == ClusterView("abc", frozenset({1, 3}))


@pytest.mark.parametrize("body", [b"", b"HTTP/1.1 400 Bad Request", _metadata(b"abc", (1, b"h", None))[:20]])
def test_anything_else_is_not_an_answer(body: bytes) -> None:
    with pytest.raises(ValueError, match="metadata"):
        parse_metadata(body)


def test_an_archive_is_used_when_it_is_there_and_written_when_asked(tmp_path: Path) -> None:
    archive = ClassArchive(base=None, top=tmp_path / "cds" / "kafka.jsa")
    draft = tmp_path / "draft"
    assert archive.options(None) == []
    assert archive.options(draft) == [f"-XX:ArchiveClassesAtExit={draft}"]
    draft.write_bytes(b"classes")
    archive.publish(draft)
    assert archive.options(None) == [f"-XX:SharedArchiveFile={archive.top}"]
    assert [path.read_bytes() for path in archive.top.parent.iterdir()] == [b"classes"]


def test_an_archive_lies_on_its_base(tmp_path: Path) -> None:
    archive = ClassArchive(base=tmp_path / "base.jsa", top=tmp_path / "kafka.jsa")
    base, draft = f"-XX:SharedArchiveFile={archive.base}", tmp_path / "draft"
    assert archive.options(None) == [base]
    assert archive.options(draft) == [base, f"-XX:ArchiveClassesAtExit={draft}"]
    archive.top.touch()
    assert archive.options(None) == [f"{base}:{archive.top}"]
