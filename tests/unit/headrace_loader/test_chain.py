"""Reading the end of a chain, links and identity, and which objects are orphans."""

from __future__ import annotations

from typing import Any

import pytest

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.manifest import ChainBase, ChainEnd, File, Manifest, encode_base, encode_manifest
from headrace_core.paths import base_key, manifest_key, object_key
from headrace_loader.chain import ChainReader, check_identity, is_orphan
from headrace_loader.stage_messages import ChainIdentity
from headrace_runtime.manifest_chain import check_links
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.ports_store import ObjectInfo

IDENTITY = ChainIdentity("events", 3, "events.clean", "topic-1", "cluster-1")


def manifest(start: int, end: int, maximum: int = -1, **more: Any) -> Manifest:
    fields: dict[str, Any] = {
        "kind": "events",
        "cluster_id": "cluster-1",
        "topic_id": "topic-1",
        "topic": "events.clean",
        "partition": 3,
        "start": start,
        "end": end,
        "max_source_offset": maximum,
        "rows": 0,
        "files": (),
        "schema_version": 1,
        "writer": "w",
        "created_ms": 1,
    }
    return Manifest(**{**fields, **more})


class CountingStore(MemoryObjectStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[str] = []
        self.listed = 0

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        self.gets.append(key)
        return await super().get(key, deadline_s=deadline_s)

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        found = await super().list(prefix, start_after=start_after, limit=limit, deadline_s=deadline_s)
        self.listed += len(found)
        return found


async def store_of(*manifests: Manifest) -> CountingStore:
    store = CountingStore()
    for entry in manifests:
        await store.put(manifest_key("events", 3, entry.start), encode_manifest(entry), deadline_s=1)
    return store


def reader(store: CountingStore, hint: int | None = None) -> ChainReader:
    return ChainReader(store, IDENTITY, hint=hint, deadline_s=1)


async def test_a_chain_begins_at_zero() -> None:
    assert await reader(await store_of()).read_end() == ChainEnd(end=0, max_source_offset=-1)


async def test_the_end_is_the_last_manifests() -> None:
    store = await store_of(manifest(0, 10, 5), manifest(10, 40, 22))
    assert await reader(store).read_end() == ChainEnd(end=40, max_source_offset=22)


async def test_a_chain_goes_on_from_its_base() -> None:
    store = await store_of()
    base = encode_base(ChainBase(start=500, max_source_offset=321))
    await store.put(base_key("events", 3), base, deadline_s=1)
    assert await reader(store).read_end() == ChainEnd(end=500, max_source_offset=321)
    await store.put(manifest_key("events", 3, 500), encode_manifest(manifest(500, 600, 400)), deadline_s=1)
    assert await reader(store).read_end() == ChainEnd(end=600, max_source_offset=400)


@pytest.mark.parametrize("dropped", [[], [0], [10], [0, 10]])
async def test_manifests_below_the_base_are_not_looked_at(dropped: list[int]) -> None:
    store = await store_of(manifest(0, 10), manifest(10, 20), manifest(20, 30, 25))
    await store.put(
        base_key("events", 3), encode_base(ChainBase(start=20, max_source_offset=19)), deadline_s=1
    )
    await store.delete([manifest_key("events", 3, start) for start in dropped], deadline_s=1)
    assert await reader(store).read_end() == ChainEnd(end=30, max_source_offset=25)


async def test_a_base_that_appears_while_the_chain_is_read_is_followed() -> None:
    class Dropping(CountingStore):
        """Drops the chain's head behind a base once it was listed."""

        async def list(
            self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
        ) -> list[ObjectInfo]:
            found = await super().list(prefix, start_after=start_after, limit=limit, deadline_s=deadline_s)
            base = encode_base(ChainBase(start=20, max_source_offset=19))
            await self.put(base_key("events", 3), base, deadline_s=1)
            await self.delete([manifest_key("events", 3, 10)], deadline_s=1)
            return found

    store = Dropping()
    for entry in (manifest(0, 10), manifest(10, 20), manifest(20, 30, 25)):
        await store.put(manifest_key("events", 3, entry.start), encode_manifest(entry), deadline_s=1)
    assert await reader(store).read_end() == ChainEnd(end=30, max_source_offset=25)


async def test_reading_again_reads_only_what_is_new() -> None:
    store = await store_of(*(manifest(at, at + 10) for at in range(0, 1000, 10)))
    chain = reader(store)
    await chain.read_end()
    store.gets.clear()
    store.listed = 0
    assert (await chain.read_end()).end == 1000
    assert (store.gets, store.listed) == ([], 0)
    await store.put(manifest_key("events", 3, 1000), encode_manifest(manifest(1000, 1010)), deadline_s=1)
    assert (await chain.read_end()).end == 1010
    assert store.gets == [manifest_key("events", 3, 1000)]


@pytest.mark.parametrize("hint", [None, 0, 7, 2_000_000, 1_000_000, 999_999, 10**12])
async def test_any_hint_leads_to_the_end(hint: int | None) -> None:
    step = 10_000
    store = await store_of(*(manifest(at, at + step) for at in range(0, 1_000_000, step)))
    assert (await reader(store, hint).read_end()).end == 1_000_000


async def test_a_good_hint_saves_the_listing() -> None:
    step = 10_000
    store = await store_of(*(manifest(at, at + step) for at in range(0, 1_000_000, step)))
    await reader(store, 1_000_000).read_end()
    assert store.listed <= 6


async def test_a_manifest_of_another_log_stops_the_reader() -> None:
    with pytest.raises(ConfigurationError) as caught:
        await reader(await store_of(manifest(0, 10, topic_id="topic-0"))).read_end()
    assert caught.value.code == "foreign_chain"


@pytest.mark.parametrize(
    "changed",
    [{"cluster_id": "x"}, {"topic_id": "x"}, {"topic": "x"}, {"partition": 4}, {"kind": "raw"}],
)
def test_each_part_of_the_identity_counts(changed: dict[str, Any]) -> None:
    check_identity(manifest(0, 1), IDENTITY)
    with pytest.raises(ConfigurationError):
        check_identity(manifest(0, 1, **changed), IDENTITY)


async def test_a_broken_link_is_told() -> None:
    with pytest.raises(BadData, match="broken"):
        await reader(await store_of(manifest(0, 10), manifest(11, 20))).read_end()
    with pytest.raises(BadData):
        check_links([manifest(0, 10, 9), manifest(10, 20, 8)])
    check_links([manifest(0, 10, 9), manifest(10, 20, 9)])


def key(start: int, nonce: str, partition: int = 3) -> str:
    return object_key("events", partition, start, start + 10, appended_ms=0, nonce=nonce)


def test_an_orphan_is_what_the_manifest_of_its_start_does_not_name() -> None:
    named = File(key=key(10, "a"), rows=1, bytes=1, sha256="")
    manifests = {10: manifest(10, 20, files=(named,), rows=1)}
    assert not is_orphan(key(10, "a"), manifests)
    assert is_orphan(key(10, "b"), manifests)


def test_nothing_at_the_end_of_the_chain_is_an_orphan_yet() -> None:
    manifests = {0: manifest(0, 10)}
    assert not is_orphan(key(10, "b"), manifests)
    assert not is_orphan(key(5, "b"), manifests)


def test_other_chains_and_other_keys_are_left_alone() -> None:
    manifests = {10: manifest(10, 20)}
    assert not is_orphan(key(10, "b", partition=4), manifests)
    assert not is_orphan(object_key("verdicts", 3, 10, 20, appended_ms=0, nonce="b"), manifests)
    assert not is_orphan("overflow/00", manifests)
    assert not is_orphan(manifest_key("events", 3, 10), manifests)
