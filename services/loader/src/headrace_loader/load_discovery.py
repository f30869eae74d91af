"""Finds the staged files that are not loaded yet, by following the chains of all partitions.

The chains in the object store and the ledger are the truth; a note on batches.staged only makes the worker look sooner.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from headrace_core.errors import BadData
from headrace_core.manifest import ChainBase, Manifest, decode_manifest
from headrace_core.paths import chain_prefix, manifest_key, parse_manifest_key
from headrace_loader.load_files import ManifestFile, files_of
from headrace_loader.load_plan import LoadLimits, choose, settled_prefix
from headrace_loader.warehouse import Warehouse
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.manifest_chain import check_head, check_links, check_one_log, read_base
from headrace_runtime.ports_store import ObjectStore

__all__ = ["LoadDiscovery"]

_log = logging.getLogger(__name__)
_LISTED = 1_000
"""Manifests read ahead of the load per partition."""
_READS_AT_ONCE = 16


class LoadDiscovery:
    """Per partition the manifests that wait, from the first that is not settled on."""

    def __init__(
        self, store: ObjectStore, warehouse: Warehouse, *, partitions: int, deadline_s: float
    ) -> None:
        self._store = store
        self._warehouse = warehouse
        self._deadline_s = deadline_s
        self._waiting: dict[int, list[Manifest]] = {partition: [] for partition in range(partitions)}
        self._last: dict[int, Manifest] = {}
        self._begin: dict[int, int] | None = None
        self._settled: set[int] = set()
        self._released: list[ManifestFile] = []
        self._told: set[tuple[int, int]] = set()
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    @property
    def waiting_rows(self) -> int:
        """Rows of the manifests that are known and not settled."""
        return sum(manifest.rows for chain in self._waiting.values() for manifest in chain)

    async def look(self) -> None:
        """Read what the chains got since the last look. Raises Unavailable, BadData for a broken chain,
        ConfigurationError for a foreign one."""
        if self._begin is None:
            self._begin = await self._warehouse.loaded_up_to()
        found = await asyncio.gather(*(self._new_manifests(partition) for partition in self._waiting))
        new = [manifest for chain in found for manifest in chain]
        ids = [file.file_id for manifest in new for file in files_of(manifest)]
        if ids:
            self._settled |= await self._warehouse.settled_files(ids)
        # Only now that all is known: a look that fails halfway is repeated as a whole.
        for manifest in new:
            self._waiting[manifest.partition].append(manifest)
            self._last[manifest.partition] = manifest
        self._drop_settled()
        await self._look_for_released()

    def next_files(self, limits: LoadLimits) -> list[ManifestFile]:
        """The files of the next transaction: repaired ones first, then the chains. Empty where nothing waits."""
        return self._released[:1] or choose(self._waiting, self._settled, limits)

    def settle(self, file_ids: Collection[int]) -> None:
        """These files are loaded or set aside."""
        self._settled |= set(file_ids)
        self._released = [file for file in self._released if file.file_id not in self._settled]
        self._drop_settled()

    def _drop_settled(self) -> None:
        for partition, chain in self._waiting.items():
            count = settled_prefix(chain, self._settled)
            self._settled -= {file.file_id for manifest in chain[:count] for file in files_of(manifest)}
            self._waiting[partition] = chain[count:]

    async def _new_manifests(self, partition: int) -> list[Manifest]:
        last = self._last.get(partition)
        if last is None:
            return await self._first_manifests(partition)
        new = await self._manifests_from(partition, last.start + 1)
        check_links([last, *new])
        check_one_log([last, *new])
        return new

    async def _first_manifests(self, partition: int) -> list[Manifest]:
        """From the last that the ledger knows, or from the chain's base where that lies above it: what is below went to
        the warehouse by its day. What retention drops meanwhile lies below a newer base: then again."""
        base = await self._base(partition)
        while True:
            try:
                return await self._chain_above(partition, base)
            except BadData:
                newer = await self._base(partition)
                if newer == base:
                    raise
                base = newer

    async def _chain_above(self, partition: int, base: ChainBase | None) -> list[Manifest]:
        begin = max((self._begin or {}).get(partition, 0), 0 if base is None else base.start)
        new = await self._manifests_from(partition, begin)
        if new:
            check_head(new[0], ChainBase(start=begin, max_source_offset=-1))
        check_links(new)
        check_one_log(new)
        return new

    async def _base(self, partition: int) -> ChainBase | None:
        return await read_base(self._store, "events", partition, deadline_s=self._deadline_s)

    async def _manifests_from(self, partition: int, begin: int) -> list[Manifest]:
        after = manifest_key("events", partition, begin - 1) if begin else None
        prefix = chain_prefix("events", partition)
        async with self._reads:
            entries = await self._store.list(
                prefix, start_after=after, limit=_LISTED, deadline_s=self._deadline_s
            )
        keys = [entry.key for entry in entries if parse_manifest_key(entry.key) is not None]
        return list(await asyncio.gather(*(self._manifest(key) for key in keys)))

    async def _manifest(self, key: str) -> Manifest:
        async with self._reads:
            return decode_manifest(await self._store.get(key, deadline_s=self._deadline_s))

    async def _look_for_released(self) -> None:
        for partition, start in await self._warehouse.released_positions():
            try:
                manifest = await self._manifest(manifest_key("events", partition, start))
            except ObjectNotFound:
                self._tell_of_dropped(partition, start)
                continue
            files = files_of(manifest)
            settled = await self._warehouse.settled_files([file.file_id for file in files])
            known = {file.file_id for file in self._released} | settled
            waiting = {file.file_id for each in self._waiting[partition] for file in files_of(each)}
            self._released += [file for file in files if file.file_id not in known | waiting]

    def _tell_of_dropped(self, partition: int, start: int) -> None:
        """Once: the ledger names the position at every look."""
        if (partition, start) not in self._told:
            self._told.add((partition, start))
            _log.warning(
                "A released file's manifest was dropped by retention: the lake has its rows.",
                extra={"partition": partition, "start": start},
            )
