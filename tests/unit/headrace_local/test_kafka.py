"""The configuration of a node follows the size of its cluster."""

from pathlib import Path

import pytest

from headrace_local.kafka import KafkaSettings, server_properties


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
