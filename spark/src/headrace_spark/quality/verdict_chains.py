"""Which files of archived verdicts are of a day: read from their chains once for all days of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace_core.manifest import Manifest
from headrace_runtime.manifest_chain import read_chains
from headrace_runtime.ports_store import ObjectStore

__all__ = ["VerdictChains"]

_DAY_MS = 86_400_000


class _Archived(NamedTuple):
    """What is kept of a manifest: append times of its first and last block in ms, and the keys of its files."""

    first_ms: int
    last_ms: int
    keys: tuple[str, ...]


class VerdictChains:
    """The chains of the verdicts as they were when a day was first asked for. What is archived later is of days to come, or
    late; a count of duplicates does not wait for it."""

    def __init__(self, store: ObjectStore, partitions: int) -> None:
        self._store = store
        self._partitions = partitions
        self._archived: tuple[_Archived, ...] | None = None

    async def keys(self, start_ms: int, *, deadline_s: float) -> list[str]:
        """Keys of the files that may hold verdicts of the day that begins at ``start_ms``. ``deadline_s`` bounds each request.
        Raises Unavailable, BadData for a broken chain, ConfigurationError for a foreign one."""
        if self._archived is None:
            chains = await read_chains(self._store, "verdicts", self._partitions, deadline_s=deadline_s)
            self._archived = tuple(found for chain in chains.values() for found in _archived(chain))
        return [
            key
            for found in self._archived
            if found.first_ms < start_ms + _DAY_MS and found.last_ms >= start_ms
            for key in found.keys
        ]


def _archived(chain: list[Manifest]) -> Iterator[_Archived]:
    for manifest in chain:
        if manifest.first_append_ms is not None and manifest.last_append_ms is not None:
            keys = tuple(file.key for file in manifest.files)
            yield _Archived(manifest.first_append_ms, manifest.last_append_ms, keys)
