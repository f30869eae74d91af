"""Tombstones of an erasure in the real log: who was erased is known no more, the others are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.dedup_world import DedupWorld

from headrace_core.identity import Edge, edge_key, encode_edge, resolve
from headrace_local.stack import LocalStack
from headrace_runtime.edge_log import EDGES
from headrace_runtime.kafka import KafkaLogWriter
from headrace_runtime.ports_log import Batch
from headrace_spark.day_job import LogEdges
from headrace_spark.edge_tombstones import LogEdgeEraser, keys_about
from headrace_spark.ports import Suppressions
from headrace_spark.settings import SparkSettings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


async def test_edges_of_the_erased_are_gone(fresh_stack: LocalStack, tmp_path: Path) -> None:
    world = DedupWorld(fresh_stack, tmp_path)
    await world.prepare()
    edges = [
        Edge(
            kind="anonymous",
            alias=alias,
            customer_id=customer,
            op="assert",
            source="crm",
            confidence=1.0,
            valid_from=0,
        )
        for alias, customer in (("d1", "gone"), ("d2", "stays"))
    ]
    writer = KafkaLogWriter(world.connection)
    await writer.start()
    await writer.append_all(
        EDGES, Batch([*map(edge_key, edges)], [*map(encode_edge, edges)]), deadline_s=30.0
    )
    await writer.stop()
    settings = SparkSettings.model_validate(
        {
            "kafka_bootstrap": fresh_stack.endpoints.kafka_bootstrap,
            "s3_bucket": "none",
            "warehouse_dsn": fresh_stack.endpoints.postgres_dsn,
        }
    )
    subjects = Suppressions(users=frozenset({"gone"}), customers=frozenset({"gone"}))
    source = LogEdges(settings)
    await LogEdgeEraser(settings).erase(keys_about(await source.read(), subjects))
    left = await source.read()
    assert keys_about(left, subjects) == []
    assert [(row.alias, row.customer_id) for row in resolve(left.records).aliases] == [
        ("d2", "stays"),
        ("stays", "stays"),
    ]
