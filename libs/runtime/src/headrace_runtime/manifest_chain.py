"""Reads whole chains of manifests, and holds every reader of a chain to the same checks.

A chain begins at offset 0 or where its base says, each manifest starts where the one before ends, the running maximum
never falls, and all of them are of one log. Who reads a chain that fails this reads nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import pairwise

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.manifest import ChainBase, Manifest, decode_base, decode_manifest
from headrace_core.paths import ChainKind, base_key, chain_prefix, manifest_key, parse_manifest_key
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore

__all__ = ["check_head", "check_links", "check_one_log", "read_base", "read_chains"]

_READS_AT_ONCE = 32
_WINDOW = 1_000
"""Manifests asked for ahead: a chain of sixty days is no million tasks."""
_TRIES = 3


def check_links(manifests: Sequence[Manifest]) -> None:
    """Refuse manifests in order of their starts that are not contiguous or lower the running maximum (BadData)."""
    for before, after in pairwise(manifests):
        if after.start != before.end or after.max_source_offset < before.max_source_offset:
            raise BadData(
                "A chain of manifests is broken.",
                why=f"Partition {after.partition} of chain {after.kind}: the manifest of [{before.start}, {before.end}) "
                f"with running maximum {before.max_source_offset} is followed by the one of [{after.start}, {after.end}) "
                f"with {after.max_source_offset}.",
                fix="Manifests are never rewritten: restore the ones that were changed or deleted from their bucket versions.",
                code="broken_chain",
            )


def check_head(first: Manifest, base: ChainBase | None) -> None:
    """Refuse a first manifest that is neither at 0 nor where the base says (BadData)."""
    start = 0 if base is None else base.start
    if first.start not in (0, start):
        raise BadData(
            "A chain of manifests has lost its head.",
            why=f"Partition {first.partition} begins at {first.start} instead of {start}.",
            fix="Restore the deleted manifests from their bucket versions; nothing is loaded over a gap.",
            code="broken_chain",
        )


def check_one_log(manifests: Iterable[Manifest]) -> None:
    """Refuse manifests whose offsets are of different clusters or topics (ConfigurationError)."""
    logs = {(manifest.cluster_id, manifest.topic_id) for manifest in manifests}
    if len(logs) > 1:
        raise ConfigurationError(
            "A chain of manifests counts offsets of two logs.",
            why=f"Its manifests name these clusters and topics: {sorted(logs)}.",
            fix="The topic or the cluster was made anew below a running installation: follow the runbook for that.",
            code="foreign_chain",
        )


async def read_base(
    store: ObjectStore, kind: ChainKind, partition: int, *, deadline_s: float
) -> ChainBase | None:
    """What the dropped manifests of a chain left behind; None where none was dropped yet."""
    try:
        return decode_base(await store.get(base_key(kind, partition), deadline_s=deadline_s))
    except ObjectNotFound:
        return None


async def read_chains(
    store: ObjectStore, kind: ChainKind, partitions: int, *, deadline_s: float
) -> dict[int, list[Manifest]]:
    """All manifests of every partition's chain, from its base on, checked; an empty list where a chain has none.

    ``deadline_s`` bounds each request, not all of them. Raises Unavailable, BadData for a broken chain, ConfigurationError
    where the chains count offsets of two logs.
    """
    reader = _ChainReader(store, kind, deadline_s)
    chains = await asyncio.gather(*map(reader.read, range(partitions)))
    check_one_log(manifest for chain in chains for manifest in chain)
    return dict(enumerate(chains))


class _ChainReader:
    """Reads chains of one kind, so many objects at a time."""

    def __init__(self, store: ObjectStore, kind: ChainKind, deadline_s: float) -> None:
        self._store = store
        self._kind = kind
        self._deadline_s = deadline_s
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(self, partition: int) -> list[Manifest]:
        """One chain. Retention writes the base first and drops manifests then: what vanishes meanwhile lies below a new
        base."""
        base = await self._base(partition)
        for _ in range(_TRIES):
            try:
                return await self._from(base, partition)
            except (ObjectNotFound, BadData):
                newer = await self._base(partition)
                if newer == base:
                    raise
                base = newer
        return await self._from(base, partition)

    async def _base(self, partition: int) -> ChainBase | None:
        return await read_base(self._store, self._kind, partition, deadline_s=self._deadline_s)

    async def _from(self, base: ChainBase | None, partition: int) -> list[Manifest]:
        start = 0 if base is None else base.start
        after = manifest_key(self._kind, partition, start - 1) if start else None
        prefix = chain_prefix(self._kind, partition)
        async with self._reads:
            entries = await self._store.list(prefix, start_after=after, deadline_s=self._deadline_s)
        keys = [entry.key for entry in entries if parse_manifest_key(entry.key) is not None]
        chain: list[Manifest] = []
        for at in range(0, len(keys), _WINDOW):
            chain += await asyncio.gather(*map(self._manifest, keys[at : at + _WINDOW]))
        if chain:
            check_head(chain[0], base)
        check_links(chain)
        return chain

    async def _manifest(self, key: str) -> Manifest:
        async with self._reads:
            return decode_manifest(await self._store.get(key, deadline_s=self._deadline_s))
