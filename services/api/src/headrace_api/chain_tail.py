"""Follows the events chains of all partitions, each manifest once."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headrace_core.manifest import Manifest, decode_manifest
from headrace_core.paths import chain_prefix, parse_manifest_key
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore

__all__ = ["ChainTail"]


class ChainTail:
    """Remembers per partition how far it has read; ``deadline_s`` bounds each request."""

    def __init__(self, store: ObjectStore, *, deadline_s: float) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._last: dict[int, str] = {}

    async def new(self, partition: int) -> AsyncIterator[Manifest]:
        """The manifests since the last one that was taken, in order. What retention drops meanwhile is passed over: it is
        two months old, and nobody asks about it any more. Raises StoreUnavailable, BadData."""
        prefix = chain_prefix("events", partition)
        found = await self._store.list(
            prefix, start_after=self._last.get(partition), deadline_s=self._deadline_s
        )
        for info in found:
            if parse_manifest_key(info.key) is None:
                continue
            try:
                data = await self._store.get(info.key, deadline_s=self._deadline_s)
            except ObjectNotFound:
                continue
            yield decode_manifest(data)
            self._last[partition] = info.key
