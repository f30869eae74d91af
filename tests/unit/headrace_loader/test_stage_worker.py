"""The stage worker over the ports in memory: memory bound, regroupings, faults of the store, another log."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pyarrow.parquet as pq
import pytest
from tests.support.clean_events import as_batch, clean_event

from headrace_core.clock import Clock, ManualClock, SystemClock
from headrace_core.errors import ConfigurationError
from headrace_core.manifest import Manifest, decode_manifest
from headrace_core.notes import decode_staged_note
from headrace_core.paths import chain_prefix
from headrace_core.topics import BATCHES_STAGED, EVENTS_CLEAN, EVENTS_RAW
from headrace_loader import stage_worker, stager
from headrace_loader.log_identity import LogIdentity, read_log_identity
from headrace_loader.settings import StageSettings
from headrace_loader.stage_lines import STAGE_LINES
from headrace_loader.stage_worker import StageWorker
from headrace_loader.staged_notes import StagedNotes
from headrace_runtime.memory_log import MemoryLog, MemoryLogAdmin, MemoryLogReader, MemoryLogWriter
from headrace_runtime.memory_store import MemoryObjectStore, WriteFault
from headrace_runtime.ports_log import Records, TopicPartition, TopicSpec
from headrace_runtime.process import Lifecycle
from headrace_runtime.telemetry import Telemetry

P = 3
TOPICS = (EVENTS_CLEAN, EVENTS_RAW, BATCHES_STAGED)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for what the worker does by the second, or long before a write is tried again."""
    monkeypatch.setattr(stage_worker, "_HINT_EVERY_S", 0.02)
    monkeypatch.setattr(stage_worker, "_LONGEST_FETCH_S", 0.02)
    monkeypatch.setattr(stager, "_FIRST_DELAY_S", 0.01)


@dataclass
class Group:
    """A group whose members the test chooses."""

    owned: frozenset[TopicPartition] = frozenset(TopicPartition(EVENTS_CLEAN.name, p) for p in range(P))
    generation: int = 1
    offsets: dict[TopicPartition, int] = field(default_factory=dict)

    def give(self, *partitions: int) -> None:
        self.owned = frozenset(TopicPartition(EVENTS_CLEAN.name, p) for p in partitions)
        self.generation += 1

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """Nothing to do."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """Nothing to do."""

    async def changed(self, generation: int, *, max_wait_s: float) -> bool:
        return self.generation != generation

    async def confirm_ownership(self, *, deadline_s: float) -> bool:
        return True

    async def commit(self, offsets: Mapping[TopicPartition, int], *, deadline_s: float) -> bool:
        self.offsets.update(offsets)
        return True

    async def committed(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        return {tp: self.offsets[tp] for tp in partitions if tp in self.offsets}


@dataclass
class World:
    """A log and a store in memory, with the worker on them."""

    life: Lifecycle
    log: MemoryLog
    store: MemoryObjectStore
    group: Group
    worker: StageWorker
    writer: MemoryLogWriter

    async def append(self, partition: int, sources: Iterable[int]) -> None:
        batch = as_batch([clean_event(at, partition=partition) for at in sources])
        await self.writer.append_all(TopicPartition(EVENTS_CLEAN.name, partition), batch, deadline_s=5)

    async def chain(self, partition: int) -> list[Manifest]:
        found = await self.store.list(chain_prefix("events", partition), deadline_s=5)
        return [decode_manifest(await self.store.get(entry.key, deadline_s=5)) for entry in found]

    async def sources(self, partition: int) -> list[int]:
        """Source offsets of all rows that are readable."""
        rows: list[int] = []
        for manifest in await self.chain(partition):
            for file in manifest.files:
                table = pq.read_table(io.BytesIO(await self.store.get(file.key, deadline_s=5)))
                rows += [source for source in table["src_offset"].to_pylist() if source is not None]
        return sorted(rows)

    async def reached(self, partition: int, end: int) -> None:
        """Wait until a chain ends there."""

        async def there() -> bool:
            return [0, *(manifest.end for manifest in await self.chain(partition))][-1] == end

        await until(there)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            if await check():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    clock: Clock | None = None, made: type[MemoryLogReader] = MemoryLogReader, **settings: object
) -> AsyncIterator[World]:
    """A worker that runs for the time of the context and ends well."""
    log = MemoryLog(cluster_id="c1")
    admin = MemoryLogAdmin(log)
    await admin.create_topics([TopicSpec(t.name, P if t.partitions == "P" else 1) for t in TOPICS])
    given = StageSettings.model_validate(
        {
            "kafka_bootstrap": "none:1",
            "s3_bucket": "lake",
            "partitions": P,
            "instance": "w",
            "stage_cut_age_s": 0.1,
            **settings,
        }
    )
    life = Lifecycle("stage", given, clock or SystemClock(), Telemetry("stage", "w"))
    store, group, writer = MemoryObjectStore(), Group(), MemoryLogWriter(log)
    await writer.start()

    async def identify() -> LogIdentity:
        return await read_log_identity(admin, TOPICS, P, deadline_s=5)

    worker = StageWorker(
        life,
        given,
        STAGE_LINES,
        log=await identify(),
        identify=identify,
        reader=made(log),
        group=group,
        store=store,
        notes=StagedNotes(writer),
    )
    task = asyncio.create_task(worker.run())
    try:
        yield World(life, log, store, group, worker, writer)
    finally:
        life.stopping.set()
        async with asyncio.timeout(20):
            await task
        life.telemetry.shutdown()


async def test_all_partitions_are_staged_and_told_of() -> None:
    async with running() as world:
        for partition in range(P):
            await world.append(partition, range(50))
        for partition in range(P):
            await world.reached(partition, 50)
            assert await world.sources(partition) == [*range(50)]
        await until(lambda: _notes_hold(world, 50 * P))
        metrics = world.life.telemetry.exposition().decode()
        assert f'headrace_stage_rows_total{{kind="events"}} {50 * P}.0' in metrics
        assert world.life.health.ready


async def _notes_hold(world: World, rows: int) -> bool:
    partition = world.log.partition(TopicPartition(BATCHES_STAGED.name, 0))
    assert partition is not None
    return sum(decode_staged_note(record.value or b"").rows for record in partition.records) == rows


async def test_what_is_held_at_the_stop_is_staged() -> None:
    async with running(stage_cut_age_s=3600) as world:
        await world.append(1, range(30))
        tp = TopicPartition(EVENTS_CLEAN.name, 1)
        await until(lambda: _holds(world, tp))
        assert await world.chain(1) == []
    assert await world.sources(1) == [*range(30)]


async def _holds(world: World, tp: TopicPartition) -> bool:
    return world.worker.held_bytes > 0


async def test_memory_stays_bounded_while_the_store_does_not_answer() -> None:
    budget = 1 << 20
    async with running(stage_budget_bytes=budget, stage_cut_bytes=100_000) as world:
        world.store.faults.extend([WriteFault(applied=False)] * 12)
        for partition in range(P):
            for part in range(10):
                await world.append(partition, range(part * 100, part * 100 + 100))
        held = []

        async def done() -> bool:
            held.append(world.worker.held_bytes)
            return [[0, *(m.end for m in await world.chain(p))][-1] for p in range(P)] == [1000] * P

        await until(done)
        assert 0 < max(held) < budget + 1_000_000
        assert not world.store.faults
        for partition in range(P):
            assert await world.sources(partition) == [*range(1000)]
        await until(lambda: _is_ready(world))


async def _is_ready(world: World) -> bool:
    return world.life.health.ready


async def test_lost_answers_of_manifest_writes_double_nothing() -> None:
    async with running(stage_cut_rows=20) as world:
        # Objects are put before manifests: every second write here is a manifest's.
        for applied in (True, False, True):
            world.store.faults.append(WriteFault(applied=applied))
            await world.append(0, [*range(len(await world.sources(0)), len(await world.sources(0)) + 25)])
            await asyncio.sleep(0.05)
        end = (world.log.partition(TopicPartition(EVENTS_CLEAN.name, 0)) or pytest.fail("no partition")).end
        await world.reached(0, end)
        sources = await world.sources(0)
        assert len(sources) == len(set(sources))


async def test_partitions_go_and_come_back() -> None:
    async with running() as world:
        await world.append(0, range(10))
        await world.reached(0, 10)
        world.group.give(1, 2)
        await world.append(1, range(10))
        await world.reached(1, 10)
        await world.append(0, range(10, 20))
        await asyncio.sleep(0.3)
        assert len(await world.chain(0)) == 1
        world.group.give(0, 1)
        await world.reached(0, 20)
        assert await world.sources(0) == [*range(20)]


async def test_while_members_are_regrouped_work_goes_on() -> None:
    async with running() as world:
        await world.append(0, range(10))
        await world.reached(0, 10)
        world.group.owned, world.group.generation = frozenset(), -1
        await world.append(0, range(10, 20))
        await world.reached(0, 20)


async def test_hints_are_the_ends_of_chains() -> None:
    async with running() as world:
        await world.append(2, range(10))
        await world.reached(2, 10)
        tp = TopicPartition(EVENTS_CLEAN.name, 2)

        async def committed() -> bool:
            return world.group.offsets.get(tp) == 10

        await until(committed)


class SilentReader(MemoryLogReader):
    """A reader that gives no records though there are some, and no error either."""

    async def fetch(self, *, max_wait_s: float, max_records: int = 10_000) -> dict[TopicPartition, Records]:
        await asyncio.sleep(0.01)
        return {}


async def test_a_worker_that_makes_no_progress_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_worker, "_LAG_EVERY_S", 0.02)
    clock = ManualClock()
    async with running(clock, SilentReader) as world:
        await until(lambda: _is_ready(world))
        await world.append(0, range(10))

        async def told() -> bool:
            return "10 records wait" in world.life.health.stuck().get("stage", "")

        await asyncio.sleep(0.2)
        assert not await told()
        clock.advance(200)
        await until(told)


async def test_an_idle_worker_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_worker, "_LAG_EVERY_S", 0.02)
    clock = ManualClock()
    async with running(clock) as world:
        await until(lambda: _is_ready(world))
        clock.advance(1000)
        await asyncio.sleep(0.2)
        assert world.life.health.stuck() == {}


async def test_a_topic_made_anew_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_worker, "_IDENTITY_EVERY_S", 0.02)

    async def replaced() -> None:
        async with running() as world:
            await until(lambda: _is_ready(world))
            world.log.delete(EVENTS_CLEAN.name)
            world.log.create(TopicSpec(EVENTS_CLEAN.name, P))
            await asyncio.sleep(0.5)

    with pytest.raises(ExceptionGroup) as caught:
        await replaced()
    found = caught.value.subgroup(ConfigurationError)
    assert found is not None
    assert "log_replaced" in [
        error.code for error in found.exceptions if isinstance(error, ConfigurationError)
    ]


async def test_a_wrong_partition_count_is_refused() -> None:
    log = MemoryLog()
    admin = MemoryLogAdmin(log)
    await admin.create_topics([TopicSpec(t.name, P if t.partitions == "P" else 1) for t in TOPICS])
    assert (await read_log_identity(admin, TOPICS, P, deadline_s=5)).cluster_id == "memory"
    with pytest.raises(ConfigurationError, match="partitions"):
        await read_log_identity(admin, TOPICS, P + 1, deadline_s=5)
