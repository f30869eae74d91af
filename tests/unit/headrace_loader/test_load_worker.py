"""The loop of the role `load` over a store and a warehouse in memory."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.staged_files import clean_row, manifest_of, staged_file

from headrace_core.clock import ManualClock
from headrace_core.errors import Unavailable
from headrace_core.manifest import encode_manifest
from headrace_core.paths import manifest_key
from headrace_loader.load_discovery import LoadDiscovery
from headrace_loader.load_files import CheckedFile
from headrace_loader.load_plan import LoadLimits
from headrace_loader.load_worker import LoadWorker
from headrace_loader.memory_warehouse import MemoryWarehouse
from headrace_loader.warehouse import LedgerEntry, WarehouseSession
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.process import Lifecycle
from headrace_runtime.settings import ProcessSettings
from headrace_runtime.telemetry import Telemetry


class _Flaky(MemoryWarehouse):
    failures = 0

    async def session(self, slot: str = "0") -> WarehouseSession:
        if self.failures:
            self.failures -= 1
            raise Unavailable("gone", why="the test says so", code="warehouse_unavailable")
        return await super().session(slot)


class _Listening(MemoryObjectStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        self.reads.append(key)
        return await super().get(key, deadline_s=deadline_s)


class _World:
    def __init__(self, limits: LoadLimits | None = None) -> None:
        clock = ManualClock()
        self.life = Lifecycle(
            "load", ProcessSettings.model_validate({"instance": "t"}), clock, Telemetry("t", "t")
        )
        self.store = _Listening()
        self.warehouse = _Flaky()
        self.told: list[LedgerEntry] = []
        self.waits: list[float] = []
        self.worker = LoadWorker(
            self.life,
            self.store,
            self.warehouse,
            LoadDiscovery(self.store, self.warehouse, partitions=1, deadline_s=1),
            writer="t",
            cadence_s=60,
            limits=limits or LoadLimits(),
            store_deadline_s=1,
            wait=self._wait,
            announce=self.told.append,
        )

    async def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.life.stopping.set()
        return False

    async def stage(self, start: int, names: Sequence[str], content: bytes | None = None) -> CheckedFile:
        rows = [clean_row(name, offset=start + at) for at, name in enumerate(names)]
        file = staged_file(rows, start=start)
        await self.store.put(file.entry.file.key, file.content if content is None else content, deadline_s=1)
        key = manifest_key("events", 0, start)
        await self.store.put(key, encode_manifest(manifest_of([file])), deadline_s=1)
        return file

    def metric(self, line: str) -> float:
        for each in self.life.telemetry.exposition().decode().splitlines():
            if each.startswith(line + " "):
                return float(each.rpartition(" ")[2])
        raise AssertionError(f"there is no {line}")


async def test_all_that_waits_is_loaded_before_the_pause() -> None:
    world = _World(LoadLimits(rows=1))
    files = [await world.stage(at * 10, [f"e{at}"]) for at in range(3)]
    await world.worker.run()
    assert [entry.file_id for entry in world.told] == [file.file_id for file in files]
    assert len(world.warehouse.rows) == 3
    assert world.waits == [60]
    assert world.life.health.ready
    assert world.metric('headrace_load_rows_total{outcome="inserted"}') == 3


async def test_an_outage_is_told_and_outlived(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World()
    await world.stage(0, ["a"])
    world.warehouse.failures = 2
    down: list[Any] = []

    async def sleep(seconds: float) -> bool:
        down.append((seconds, [each.name for each in world.life.health.components if not each.ok]))
        return True

    monkeypatch.setattr(world.life, "sleep", sleep)
    await world.worker.run()
    assert down == [(0.5, ["warehouse"]), (1.0, ["warehouse"])]
    assert world.life.health.ready
    assert len(world.warehouse.rows) == 1


async def test_a_torn_file_is_read_once_more_before_it_is_set_aside() -> None:
    world = _World()
    broken = await world.stage(0, ["a"], content=b"torn")
    await world.stage(10, ["b"])
    await world.worker.run()
    assert world.store.reads.count(broken.entry.file.key) == 2
    assert [entry.code for entry in world.warehouse.errors.values()] == ["file_torn"]
    assert [row.values["event_id"] for row in world.warehouse.rows] == ["b"]
    assert world.metric('headrace_load_files_set_aside_total{error="file_torn"}') == 1


async def test_freshness_is_the_age_of_the_newest_loaded_event() -> None:
    world = _World()
    file = await world.stage(0, ["a"])
    await world.worker.run()
    assert file.entry.max_received_us is not None
    expected = world.life.clock.now_ms() / 1000 - file.entry.max_received_us / 1e6
    assert world.metric("headrace_load_freshness_seconds") == pytest.approx(expected)


async def test_files_that_another_loader_loaded_are_passed_over() -> None:
    world, other = _World(), _World()
    await world.stage(0, ["a"])
    other.warehouse, other.store = world.warehouse, world.store
    await world.worker.cycle()
    second = LoadWorker(
        other.life,
        world.store,
        world.warehouse,
        LoadDiscovery(world.store, world.warehouse, partitions=1, deadline_s=1),
        writer="second",
        cadence_s=60,
        limits=LoadLimits(),
        store_deadline_s=1,
        wait=other._wait,
        announce=other.told.append,
    )
    await asyncio.wait_for(second.run(), 10)
    assert other.told == []
    assert len(world.warehouse.rows) == 1


async def test_a_loop_that_hangs_is_told_to_the_liveness_probe() -> None:
    world = _World()
    clock = world.life.clock
    assert isinstance(clock, ManualClock)
    await world.worker.run()
    assert world.life.health.stuck() == {}
    clock.advance(3600)
    assert list(world.life.health.stuck()) == ["load"]
