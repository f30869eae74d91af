"""The runner and the worker around real owners, on the log in memory: lost answers, handover, drain, readiness."""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest
from tests.support.dedup_world import identify_event, native_event

from headrace_core.block import Block, Verdict, decode_block, is_valid_at
from headrace_core.clock import SystemClock
from headrace_core.errors import Bug, ConfigurationError
from headrace_core.identity import decode_edge
from headrace_core.keys import partition_of
from headrace_core.meta import RequestMeta, decode_source_offset, encode_index, encode_meta
from headrace_core.topics import (
    DEDUP_INDEX,
    EVENTS_CLEAN,
    EVENTS_QUARANTINE,
    EVENTS_RAW,
    IDENTITY_EDGES,
    TOPICS,
)
from headrace_dedup import raw_feed, worker
from headrace_dedup.event_rules import EventRules
from headrace_dedup.log_access import LogAccess, PartitionNames
from headrace_dedup.owner import Owner
from headrace_dedup.partition_reads import PartitionReads
from headrace_dedup.ports import OwnerIdentity
from headrace_dedup.range_telemetry import RangeTelemetry
from headrace_dedup.raw_feed import RawFeed
from headrace_dedup.runner import PartitionRunner
from headrace_dedup.settings import DedupSettings
from headrace_dedup.table import IdTable
from headrace_dedup.worker import Worker
from headrace_runtime.memory_log import AppendFault, MemoryLog, MemoryLogReader, MemoryLogWriter
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec
from headrace_runtime.process import Lifecycle
from headrace_runtime.telemetry import Telemetry

_PARTITIONS = 2
_META = encode_meta(
    RequestMeta(source="shop", dialect="native", path="/v1/events", received_at=0, request_id="r")
)


@dataclass
class FakeGroup:
    """A coordinator that says what the test tells it to."""

    owned: frozenset[TopicPartition] = frozenset()
    generation: int = 1
    confirms: bool = True
    committed_positions: dict[TopicPartition, int] = field(default_factory=dict)

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See GroupCoordination."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See GroupCoordination."""

    async def changed(self, generation: int, *, max_wait_s: float) -> bool:
        """See GroupCoordination."""
        return False

    async def confirm_ownership(self, *, deadline_s: float) -> bool:
        """See GroupCoordination."""
        await asyncio.sleep(0)
        return self.confirms

    async def commit(self, offsets: Mapping[TopicPartition, int], *, deadline_s: float) -> bool:
        """See GroupCoordination."""
        self.committed_positions.update(offsets)
        return True

    async def committed(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """See GroupCoordination."""
        return {}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for the worker's next look at its group, or for a fetch that finds nothing."""
    monkeypatch.setattr(worker, "_LOOK_S", 0.02)
    monkeypatch.setattr(raw_feed, "_FETCH_WAIT_S", 0.02)


class World:
    """A log in memory and one worker on it."""

    def __init__(self, **settings: object) -> None:
        self.log = MemoryLog()
        for topic in TOPICS:
            self.log.create(TopicSpec(topic.name, _PARTITIONS))
        self.settings = DedupSettings.model_validate(
            {
                "kafka_bootstrap": "memory",
                "s3_bucket": "memory",
                "dedup_range_wait_s": 0.01,
                "dedup_range_records": 7,
                "instance": "w",
                **settings,
            }
        )
        self.group = FakeGroup(frozenset(TopicPartition(EVENTS_RAW.name, p) for p in range(_PARTITIONS)))
        self.life = Lifecycle("dedup", self.settings, SystemClock(), Telemetry("dedup", "w"))
        self.ending = asyncio.Event()
        self.failure: Exception | None = None

    async def beside(self) -> None:
        """Runs as the reading of the map of customers does, until the test ends it."""
        await self.ending.wait()
        if self.failure is not None:
            raise self.failure

    async def worker(self) -> Worker:
        """A worker that was not started."""
        writer, reader = MemoryLogWriter(self.log), MemoryLogReader(self.log)
        await writer.start()
        log = LogAccess(writer, self.group, lambda: MemoryLogReader(self.log))
        feed = RawFeed(reader)

        def runner(partition: int) -> PartitionRunner:
            names, table = PartitionNames.of(partition), IdTable(max_bytes=1 << 20)
            identity = OwnerIdentity(self.log.cluster_id, "raw", partition, "w")
            reads = PartitionReads(
                names,
                log,
                MemoryObjectStore(),
                self.life.health,
                component=f"partition-{partition}",
                window_ms=self.settings.limits.window_ms,
            )
            return PartitionRunner(
                Owner(identity, self.settings.limits, EventRules({}), table),
                names,
                log,
                feed,
                reads,
                health=self.life.health,
                telemetry=RangeTelemetry(self.life.telemetry, self.life.clock, partition, table),
                settings=self.settings,
            )

        return Worker(self.life, self.group, feed, runner, beside=self.beside)

    def send(self, identifiers: Iterable[str]) -> None:
        """Raw records as ingest makes them; an id that begins with ! has no name, one with @ is of an identify event."""
        for identifier in identifiers:
            event = native_event(identifier, name=None if identifier.startswith("!") else "Ordered")
            if identifier.startswith("@"):
                event = identify_event(identifier, user_id="u1", anonymous_id=identifier)
            partition = self._partition(EVENTS_RAW.name, partition_of(event.key, _PARTITIONS))
            self.log.append(
                partition, Batch([event.key], [event.value], [(("m", _META), ("i", encode_index(0)))])
            )

    def _partition(self, topic: str, number: int):  # type: ignore[no-untyped-def]  # a private class of the log
        found = self.log.partition(TopicPartition(topic, number))
        assert found is not None
        return found

    def blocks(self, number: int) -> list[Block]:
        """Valid blocks of a partition."""
        return [
            block
            for record in self._partition(DEDUP_INDEX.name, number).records
            if is_valid_at((block := decode_block(record.value or b"")).header, record.offset)
        ]

    def sources(self, topic: str, number: int) -> list[int]:
        """Source offsets in a topic, first appearances."""
        found: dict[int, None] = {}
        for record in self._partition(topic, number).records:
            found[decode_source_offset(dict(record.headers)["s"])] = None
        return list(found)

    def tied(self) -> set[str]:
        """Aliases that an edge ties to somebody."""
        records = self._partition(IDENTITY_EDGES.name, 0).records
        return {decode_edge(record.value or b"").alias for record in records}

    def is_decided(self) -> bool:
        """Whether every raw record has a verdict."""
        return all(
            sum(block.header.end - block.header.start for block in self.blocks(p))
            == len(self._partition(EVENTS_RAW.name, p).records)
            for p in range(_PARTITIONS)
        )

    async def until(self, check: object) -> None:
        """Wait until a check holds."""
        assert callable(check)
        async with asyncio.timeout(10):
            while not check():  # noqa: ASYNC110  (the log in memory tells of nothing else)
                await asyncio.sleep(0.005)

    def verdicts(self, number: int) -> dict[int, int]:
        """Offset to verdict."""
        return {
            offset: verdict
            for block in self.blocks(number)
            for offset, verdict in zip(block.offsets, block.verdicts, strict=True)
        }

    def check(self) -> None:
        """Outputs are exactly what the verdicts say."""
        for number in range(_PARTITIONS):
            verdicts = self.verdicts(number)
            accepted = [o for o, verdict in verdicts.items() if verdict == Verdict.ACCEPTED]
            assert self.sources(EVENTS_CLEAN.name, number) == accepted
            quarantined = [o for o, verdict in verdicts.items() if verdict == Verdict.QUARANTINED]
            assert sorted(self.sources(EVENTS_QUARANTINE.name, number)) == quarantined


@pytest.fixture
async def world() -> World:
    return World()


async def test_everything_is_decided_and_a_stop_certifies_it(world: World) -> None:
    running = asyncio.create_task((await world.worker()).run())
    world.send(["a", "b", "!c", "a", *map(str, range(40))])
    await world.until(world.is_decided)
    await world.until(lambda: world.life.health.ready)
    world.life.stopping.set()
    async with asyncio.timeout(10):
        await running
    world.check()
    assert all(world.blocks(p)[-1].is_empty for p in range(_PARTITIONS))
    metrics = world.life.telemetry.exposition().decode()
    assert 'headrace_dedup_records_total{verdict="accepted"} 42.0' in metrics
    assert 'headrace_dedup_quarantined_total{reason="missing_field"} 1.0' in metrics


async def test_positions_are_committed_as_hints(world: World) -> None:
    world.send(map(str, range(20)))
    running = asyncio.create_task((await world.worker()).run())
    await world.until(world.is_decided)
    world.life.stopping.set()
    async with asyncio.timeout(10):
        await running
    assert sum(world.group.committed_positions.values()) == 20


@pytest.mark.parametrize("seed", range(2))
async def test_refused_and_unanswered_appends_anywhere(seed: int) -> None:
    world = World()
    dice = random.Random(seed)
    for topic in (DEDUP_INDEX, EVENTS_CLEAN, EVENTS_QUARANTINE, IDENTITY_EDGES):
        for number in range(_PARTITIONS):
            faults = world.log.faults[TopicPartition(topic.name, number)]
            for _ in range(5):
                fine = dice.random() < 0.7
                faults.append(AppendFault(appended=fine or dice.random() < 0.5, answered=fine))
    running = asyncio.create_task((await world.worker()).run())
    world.send([*map(str, range(60)), *[f"!{n}" for n in range(10)], *map(str, range(0, 60, 3))])
    world.send(f"@{n}" for n in range(30))
    await world.until(world.is_decided)
    world.life.stopping.set()
    async with asyncio.timeout(10):
        await running
    world.check()
    accepted = sum(
        verdict == Verdict.ACCEPTED for p in range(_PARTITIONS) for verdict in world.verdicts(p).values()
    )
    assert accepted == 90
    assert world.tied() == {f"@{n}" for n in range(30)}


async def test_a_partition_that_goes_to_another_worker_is_given_up(world: World) -> None:
    running = asyncio.create_task((await world.worker()).run())
    world.send(map(str, range(20)))
    await world.until(world.is_decided)
    world.group.owned = frozenset({TopicPartition(EVENTS_RAW.name, 0)})
    world.group.generation = 2
    await world.until(lambda: world.blocks(1) and world.blocks(1)[-1].is_empty)
    names = {component.name for component in world.life.health.components}
    await world.until(lambda: "partition-1" not in {c.name for c in world.life.health.components})
    assert "partition-0" in names
    world.life.stopping.set()
    async with asyncio.timeout(10):
        await running


async def test_without_the_coordinators_word_nothing_goes_on(world: World) -> None:
    world.group.confirms = False
    index = [world.log.faults[TopicPartition(DEDUP_INDEX.name, p)] for p in range(_PARTITIONS)]
    for faults in index:
        faults.append(AppendFault(appended=False, answered=True))
    running = asyncio.create_task((await world.worker()).run())
    world.send(map(str, range(20)))
    await world.until(lambda: any("coordinator" in c.reason for c in world.life.health.components))
    assert not world.blocks(0)
    world.group.confirms = True
    await world.until(world.is_decided)
    world.life.stopping.set()
    async with asyncio.timeout(10):
        await running
    world.check()


async def test_an_owner_that_needs_a_person_ends_the_worker_and_stays_unready(world: World) -> None:
    world.send(["a"])
    world.log.append(world._partition(EVENTS_CLEAN.name, 0), Batch([b"k" * 16], [b"{}"]))
    world.log.append(world._partition(EVENTS_CLEAN.name, 1), Batch([b"k" * 16], [b"{}"]))
    for number in range(_PARTITIONS):
        world.log.append(world._partition(EVENTS_RAW.name, number), Batch([b"k"], [b"v"]))
    with pytest.raises(ConfigurationError) as stopped:
        async with asyncio.timeout(10):
            await (await world.worker()).run()
    assert stopped.value.code == "index_missing"
    assert not world.life.health.ready


@pytest.mark.parametrize("failure", [None, ValueError("a defect")])
async def test_a_map_of_customers_that_is_read_no_longer_ends_the_worker(
    world: World, failure: Exception | None
) -> None:
    running = asyncio.create_task((await world.worker()).run())
    await asyncio.sleep(0)
    world.failure = failure
    world.ending.set()
    with pytest.raises(Bug if failure is None else ValueError, match=r"identity\.edges|a defect"):
        async with asyncio.timeout(10):
            await running
