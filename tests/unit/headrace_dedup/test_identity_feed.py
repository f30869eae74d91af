"""The map of customers that a worker reads, on the log in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from headrace_core.clock import SystemClock
from headrace_core.identity import Edge, IdentityIndex, edge_key, encode_edge
from headrace_core.topics import IDENTITY_EDGES
from headrace_dedup.identity_feed import COMPONENT, IdentityFeed
from headrace_dedup.log_access import LogAccess
from headrace_dedup.settings import DedupSettings
from headrace_runtime.memory_log import MemoryLog, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import Batch, GroupCoordination, TopicPartition, TopicSpec
from headrace_runtime.process import Lifecycle
from headrace_runtime.telemetry import Telemetry

_EDGES = TopicPartition(IDENTITY_EDGES.name, 0)


class World:
    """A log with the topic of edges, and one feed on it."""

    def __init__(self) -> None:
        self.log, self.index = MemoryLog(), IdentityIndex(most_edges=1_000)
        self.log.create(TopicSpec(IDENTITY_EDGES.name, 1))
        settings = DedupSettings.model_validate({"kafka_bootstrap": "memory", "s3_bucket": "memory"})
        self.life = Lifecycle("dedup", settings, SystemClock(), Telemetry("dedup", "w"))
        self.tasks: list[asyncio.Task[None]] = []

    def write(self, *records: tuple[bytes | None, bytes | None]) -> None:
        """Append records of key and value."""
        partition = self.log.partition(_EDGES)
        assert partition is not None
        self.log.append(partition, Batch([key for key, _ in records], [value for _, value in records]))

    def start(self, most_edges: int | None = None) -> None:
        """Read in the background."""
        if most_edges is not None:
            self.index = IdentityIndex(most_edges=most_edges)
        access = LogAccess(
            MemoryLogWriter(self.log), cast("GroupCoordination", None), lambda: MemoryLogReader(self.log)
        )
        feed = IdentityFeed(self.life, access, self.index)
        self.tasks.append(asyncio.create_task(feed.run()))

    async def until_ready(self) -> None:
        """Wait until readiness says that the map is read."""
        async with asyncio.timeout(10):
            while not self.life.health.ready:  # noqa: ASYNC110  (nothing else tells)
                await asyncio.sleep(0.005)

    async def until_known(self, user_key: str, customer: str | None) -> None:
        """Wait until an alias has this customer."""
        async with asyncio.timeout(10):
            while self.index.customer_of(user_key) != customer:  # noqa: ASYNC110  (nothing else tells)
                await asyncio.sleep(0.005)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for task in made.tasks:
        task.cancel()


def _tie(alias: str, customer_id: str) -> tuple[bytes, bytes]:
    edge = Edge(
        kind="anonymous",
        alias=alias,
        customer_id=customer_id,
        op="assert",
        source="web",
        confidence=0.8,
        valid_from=0,
    )
    return edge_key(edge), encode_edge(edge)


async def test_readiness_says_that_the_map_is_being_read(world: World) -> None:
    world.write(*(_tie(f"a{n}", "u1") for n in range(700)))
    world.start()
    await asyncio.sleep(0)
    assert [component.name for component in world.life.health.components if not component.ok] == [COMPONENT]


async def test_it_is_ready_once_it_has_caught_up(world: World) -> None:
    world.write(*(_tie(f"a{n}", "u1") for n in range(700)))
    world.start()
    await world.until_ready()
    assert len(world.index) == 700
    world.write(_tie("later", "u2"))
    await world.until_known("a:later", "u2")
    assert "headrace_dedup_identity_aliases 701.0" in world.life.telemetry.exposition().decode()


async def test_an_empty_log_is_a_map_that_is_read(world: World) -> None:
    world.start()
    await world.until_ready()


async def test_tombstones_take_back_and_strange_records_are_passed_over(world: World) -> None:
    key, value = _tie("a1", "u1")
    world.write((key, value), (None, b"no edge"), (b"no key", None), (None, None), _tie("a2", "u2"))
    world.start()
    await world.until_known("a:a2", "u2")
    assert world.index.customer_of("a:a1") == "u1"
    world.write((key, None))
    await world.until_known("a:a1", None)


async def test_a_full_map_learns_no_more_aliases_but_follows_those_it_has(world: World) -> None:
    world.write(_tie("a1", "u1"), _tie("a2", "u2"), _tie("a3", "u3"))
    world.start(most_edges=2)
    await world.until_ready()
    assert [world.index.customer_of(f"a:a{n}") for n in (1, 2, 3)] == ["u1", "u2", None]
    world.write((_tie("a1", "u1")[0], None), _tie("a4", "u4"))
    await world.until_known("a:a4", "u4")
    told = world.life.telemetry.exposition().decode()
    assert 'headrace_dedup_identity_passed_over_total{reason="full"} 1.0' in told


async def test_a_log_made_anew_is_read_anew(world: World) -> None:
    world.write(_tie("a1", "u1"), _tie("a2", "u2"))
    world.start()
    await world.until_known("a:a2", "u2")
    world.log.delete(IDENTITY_EDGES.name)
    world.log.create(TopicSpec(IDENTITY_EDGES.name, 1))
    world.write(_tie("a3", "u3"))
    await world.until_known("a:a3", "u3")
    assert world.index.customer_of("a:a1") is None
