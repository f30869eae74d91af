"""Discovery over a store and a warehouse in memory."""

import pytest
from tests.support.staged_files import clean_row, manifest_of, staged_file

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.manifest import Manifest, encode_manifest
from headrace_core.paths import base_key, manifest_key
from headrace_loader.load import load_files, set_aside_files
from headrace_loader.load_discovery import LoadDiscovery
from headrace_loader.load_files import CheckedFile
from headrace_loader.load_plan import LoadLimits
from headrace_loader.memory_warehouse import MemoryWarehouse
from headrace_runtime.memory_store import MemoryObjectStore

LIMITS = LoadLimits()
_DROPPED = "A released file's manifest was dropped by retention: the lake has its rows."


class _World:
    def __init__(self) -> None:
        self.store = MemoryObjectStore()
        self.warehouse = MemoryWarehouse()
        self.discovery = self.discoverer()

    def discoverer(self) -> LoadDiscovery:
        return LoadDiscovery(self.store, self.warehouse, partitions=2, deadline_s=1)

    async def stage(self, start: int, *, partition: int = 0, cluster: str = "c") -> CheckedFile:
        file = staged_file(
            [clean_row(f"{partition}-{start}", offset=start)], start=start, partition=partition
        )
        await self.put(manifest_of([file], cluster_id=cluster))
        await self.store.put(file.entry.file.key, file.content, deadline_s=1)
        return file

    async def put(self, manifest: Manifest) -> None:
        key = manifest_key("events", manifest.partition, manifest.start)
        assert await self.store.put_if_absent(key, encode_manifest(manifest), deadline_s=1)

    async def load(self, *files: CheckedFile) -> None:
        await load_files(self.warehouse, files, now_us=1, writer="t")

    def waiting(self) -> list[tuple[int, int]]:
        return [(file.partition, file.chain_start) for file in self.discovery.next_files(LIMITS)]


async def test_files_are_found_and_forgotten_once_settled() -> None:
    world = _World()
    first, other = await world.stage(0), await world.stage(0, partition=1)
    await world.discovery.look()
    assert sorted(world.waiting()) == [(0, 0), (1, 0)]
    world.discovery.settle([first.file_id])
    assert world.waiting() == [(1, 0)]
    second = await world.stage(10)
    await world.discovery.look()
    assert sorted(world.waiting()) == [(0, 10), (1, 0)]
    world.discovery.settle([second.file_id, other.file_id])
    assert world.discovery.waiting_rows == 0


async def test_a_new_process_begins_where_the_ledger_ends() -> None:
    world = _World()
    files = [await world.stage(start) for start in (0, 10, 20)]
    await world.load(*files[:2])
    again = world.discoverer()
    await again.look()
    assert [file.chain_start for file in again.next_files(LIMITS)] == [20]


async def test_released_files_come_first() -> None:
    world = _World()
    broken, good, new = [await world.stage(start) for start in (0, 10, 20)]
    await set_aside_files(world.warehouse, [(broken.entry, BadData("gone", code="file_missing"))], now_us=1)
    await world.load(good)
    await world.discovery.look()
    assert world.waiting() == [(0, 20)]
    world.warehouse.released.add(broken.file_id)
    await world.discovery.look()
    assert world.waiting() == [(0, 0)]
    await world.load(broken)
    world.discovery.settle([broken.file_id])
    await world.discovery.look()
    assert world.waiting() == [(0, 20)]
    assert new.file_id


async def test_a_chain_with_a_gap_is_refused() -> None:
    world = _World()
    await world.stage(0)
    await world.stage(30)
    with pytest.raises(BadData) as raised:
        await world.discovery.look()
    assert raised.value.code == "broken_chain"


async def test_a_chain_without_its_head_is_refused_unless_its_base_says_so() -> None:
    world = _World()
    await world.stage(10)
    with pytest.raises(BadData) as raised:
        await world.discovery.look()
    assert raised.value.code == "broken_chain"
    await world.store.put(base_key("events", 0), b'{"start":10,"max_source_offset":-1}', deadline_s=1)
    await world.discovery.look()
    assert world.waiting() == [(0, 10)]


@pytest.mark.parametrize("dropped", [[], [0], [10], [0, 10]])
async def test_a_base_stands_for_manifests_that_are_not_dropped_yet(dropped: list[int]) -> None:
    world = _World()
    for start in (0, 10, 20):
        await world.stage(start)
    await world.store.put(base_key("events", 0), b'{"start":20,"max_source_offset":-1}', deadline_s=1)
    await world.store.delete([manifest_key("events", 0, start) for start in dropped], deadline_s=1)
    await world.discovery.look()
    assert world.waiting() == [(0, 20)]


async def test_a_ledger_that_ends_below_the_base_is_taken_up_there() -> None:
    world = _World()
    files = [await world.stage(start) for start in (0, 10, 20)]
    await world.load(files[0])
    await world.store.delete([manifest_key("events", 0, start) for start in (0, 10)], deadline_s=1)
    with pytest.raises(BadData) as raised:
        await world.discovery.look()
    assert raised.value.code == "broken_chain"
    await world.store.put(base_key("events", 0), b'{"start":20,"max_source_offset":-1}', deadline_s=1)
    await world.discovery.look()
    assert world.waiting() == [(0, 20)]


async def test_a_released_file_whose_manifest_was_dropped_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = _World()
    broken, new = [await world.stage(start) for start in (0, 10)]
    await set_aside_files(world.warehouse, [(broken.entry, BadData("gone", code="file_missing"))], now_us=1)
    await world.discovery.look()
    world.warehouse.released.add(broken.file_id)
    await world.store.delete([manifest_key("events", 0, 0)], deadline_s=1)
    await world.discovery.look()
    await world.discovery.look()
    assert world.waiting() == [(0, 10)]
    assert new.file_id
    assert [record.message for record in caplog.records].count(_DROPPED) == 1


async def test_a_chain_of_two_logs_is_refused() -> None:
    world = _World()
    await world.stage(0)
    await world.stage(10, cluster="another")
    with pytest.raises(ConfigurationError) as raised:
        await world.discovery.look()
    assert raised.value.code == "foreign_chain"


async def test_a_look_that_fails_halfway_is_repeated_as_a_whole() -> None:
    world = _World()
    await world.stage(0)
    await world.store.put(manifest_key("events", 1, 0), b"{", deadline_s=1)
    with pytest.raises(BadData):
        await world.discovery.look()
    await world.store.delete([manifest_key("events", 1, 0)], deadline_s=1)
    await world.discovery.look()
    assert world.waiting() == [(0, 0)]
