"""Whole chains are read from their base on, and a broken or foreign one is refused."""

from __future__ import annotations

from typing import Any

import pytest

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.manifest import ChainBase, Manifest, encode_base, encode_manifest
from headrace_core.paths import base_key, manifest_key
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.manifest_chain import read_chains
from headrace_runtime.memory_store import MemoryObjectStore

DEADLINE_S = 5.0


def manifest(partition: int, start: int, **more: Any) -> Manifest:
    fields: dict[str, Any] = {
        "kind": "events",
        "cluster_id": "c",
        "topic_id": "t",
        "topic": "events.clean",
        "partition": partition,
        "start": start,
        "end": start + 10,
        "max_source_offset": start,
        "rows": 0,
        "files": (),
        "schema_version": 1,
        "writer": "w",
        "created_ms": 1,
    }
    return Manifest(**{**fields, **more})


async def put(store: MemoryObjectStore, *manifests: Manifest) -> MemoryObjectStore:
    for each in manifests:
        key = manifest_key("events", each.partition, each.start)
        await store.put(key, encode_manifest(each), deadline_s=DEADLINE_S)
    return store


async def drop_below(store: MemoryObjectStore, partition: int, start: int) -> None:
    """What retention does: the base first, the manifests then."""
    base = ChainBase(start=start, max_source_offset=start - 10)
    await store.put(base_key("events", partition), encode_base(base), deadline_s=DEADLINE_S)
    await store.delete(
        [manifest_key("events", partition, at) for at in range(0, start, 10)], deadline_s=DEADLINE_S
    )


async def starts(store: MemoryObjectStore, partitions: int = 1) -> dict[int, list[int]]:
    chains = await read_chains(store, "events", partitions, deadline_s=DEADLINE_S)
    return {partition: [each.start for each in chain] for partition, chain in chains.items()}


async def test_every_partition_is_read_in_order() -> None:
    store = await put(
        MemoryObjectStore(),
        *(manifest(0, at) for at in range(0, 12_000, 10)),
        manifest(2, 0),
        manifest(2, 10),
    )
    assert await starts(store, 3) == {0: list(range(0, 12_000, 10)), 1: [], 2: [0, 10]}


async def test_a_chain_begins_at_its_base() -> None:
    store = await put(MemoryObjectStore(), *(manifest(0, at) for at in (0, 10, 20, 30)))
    await drop_below(store, 0, 20)
    assert await starts(store) == {0: [20, 30]}
    assert await starts(await put(MemoryObjectStore(), manifest(0, 0))) == {0: [0]}


class Shrinking(MemoryObjectStore):
    """Retention drops what was listed before it is read."""

    async def list(self, prefix: str, **more: Any) -> Any:
        found = await super().list(prefix, **more)
        if len(found) > 2:
            await drop_below(self, 0, 20)
        return found


async def test_what_retention_drops_while_it_is_read_is_not_missed() -> None:
    store = await put(Shrinking(), *(manifest(0, at) for at in (0, 10, 20, 30)))
    assert await starts(store) == {0: [20, 30]}


async def test_a_lost_head_is_an_error() -> None:
    with pytest.raises(BadData, match="lost its head"):
        await starts(await put(MemoryObjectStore(), manifest(0, 10)))
    store = await put(MemoryObjectStore(), manifest(0, 30))
    await drop_below(store, 0, 20)
    with pytest.raises(BadData, match="lost its head"):
        await starts(store)


class Forgetful(MemoryObjectStore):
    """Lists an object that it does not have."""

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        if key == manifest_key("events", 0, 10):
            raise ObjectNotFound("gone")
        return await super().get(key, deadline_s=deadline_s)


async def test_a_vanished_manifest_is_an_error_where_no_base_explains_it() -> None:
    with pytest.raises(ObjectNotFound):
        await starts(await put(Forgetful(), manifest(0, 0), manifest(0, 10)))


@pytest.mark.parametrize(
    "second", [manifest(0, 20), manifest(0, 10, max_source_offset=-1)], ids=["gap", "lowered maximum"]
)
async def test_a_broken_chain_is_an_error(second: Manifest) -> None:
    with pytest.raises(BadData, match="broken"):
        await starts(await put(MemoryObjectStore(), manifest(0, 0), second))


async def test_partitions_of_two_logs_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two logs"):
        await starts(await put(MemoryObjectStore(), manifest(0, 0), manifest(1, 0, topic_id="other")), 2)
