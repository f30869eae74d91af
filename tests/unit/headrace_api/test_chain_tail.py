"""Chains are followed manifest by manifest, past those that retention drops."""

from __future__ import annotations

from headrace_api.chain_tail import ChainTail
from headrace_core.manifest import ChainBase, Manifest, encode_base, encode_manifest
from headrace_core.paths import base_key, manifest_key
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_runtime.ports_store import ObjectInfo


class _Dropping(MemoryObjectStore):
    """Drops the first manifest between its listing and its reading, as retention may."""

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        found = await super().list(prefix, start_after=start_after, limit=limit, deadline_s=deadline_s)
        await self.delete([manifest_key("events", 0, 0)], deadline_s=1)
        return found


async def _put(store: MemoryObjectStore, start: int) -> None:
    manifest = Manifest(
        kind="events",
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=0,
        start=start,
        end=start + 10,
        rows=0,
        files=(),
        schema_version=1,
        writer="w",
        created_ms=1,
    )
    await store.put(manifest_key("events", 0, start), encode_manifest(manifest), deadline_s=1)


async def _new(tail: ChainTail) -> list[int]:
    return [manifest.start async for manifest in tail.new(0)]


async def test_each_manifest_comes_once() -> None:
    store = MemoryObjectStore()
    tail = ChainTail(store, deadline_s=1)
    assert await _new(tail) == []
    for start in (0, 10):
        await _put(store, start)
    base = encode_base(ChainBase(start=10, max_source_offset=1))
    await store.put(base_key("events", 0), base, deadline_s=1)
    assert await _new(tail) == [0, 10]
    await _put(store, 20)
    assert await _new(tail) == [20]


async def test_a_manifest_that_is_dropped_meanwhile_is_passed_over() -> None:
    store = _Dropping()
    for start in (0, 10):
        await _put(store, start)
    assert await _new(ChainTail(store, deadline_s=1)) == [10]
