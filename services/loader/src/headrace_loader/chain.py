"""The chain of manifests of one partition: where it ends, whether it is whole, and which objects are orphans.

The end is found with a listing that starts near it: behind the last manifest that this process knows, or below a hint
(the group's committed offset). A hint is only where a listing begins: a wrong one costs more listings, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.manifest import (
    ChainBase,
    ChainEnd,
    Manifest,
    decode_manifest,
    next_end,
)
from headrace_core.paths import (
    chain_prefix,
    manifest_key,
    parse_manifest_key,
    parse_object_key,
)
from headrace_loader.stage_messages import ChainIdentity
from headrace_runtime.manifest_chain import check_links, read_base
from headrace_runtime.ports_store import ObjectStore

__all__ = ["ChainReader", "check_identity", "is_orphan"]

_LINKS_CHECKED = 3
"""Manifests read at the end of a chain that is seen for the first time."""

_FIRST_STEP_BACK = 50_000
"""Offsets below the hint at which the first listing begins: about what one manifest covers."""


def check_identity(manifest: Manifest, identity: ChainIdentity) -> None:
    """Refuse a manifest of another cluster, topic or partition: its offsets mean other records (ConfigurationError)."""
    found = ChainIdentity(
        manifest.kind, manifest.partition, manifest.topic, manifest.topic_id, manifest.cluster_id
    )
    if found != identity:
        raise ConfigurationError(
            "A chain of manifests belongs to another log.",
            why=f"The manifest at offset {manifest.start} is of {found}, this process reads {identity}.",
            fix="The topic or the cluster was made anew, or the bucket is another installation's: follow the runbook "
            "for a recreated topic, or correct HEADRACE_S3_BUCKET and HEADRACE_KAFKA_BOOTSTRAP.",
            code="foreign_chain",
        )


def is_orphan(key: str, manifests: Mapping[int, Manifest]) -> bool:
    """Whether a data object may be collected: a manifest with its start exists in ``manifests`` (by start, of the
    object's own chain) and does not name it. Never at the chain's end: there a manifest may still come to name it.
    """
    position = parse_object_key(key)
    manifest = None if position is None else manifests.get(position.start)
    if position is None or manifest is None:
        return False
    if (manifest.kind, manifest.partition) != (position.kind, position.partition):
        return False
    return all(file.key != key for file in manifest.files)


class ChainReader:
    """Reads the end of one partition's chain, and remembers it, so that the next reading starts there."""

    def __init__(
        self, store: ObjectStore, identity: ChainIdentity, *, hint: int | None = None, deadline_s: float
    ) -> None:
        self._store = store
        self._identity = identity
        self._deadline_s = deadline_s
        self._hint = hint
        self._known: Manifest | None = None

    async def read_end(self) -> ChainEnd:
        """Where the chain ends now. Raises StoreUnavailable, BadData for a broken chain, ConfigurationError for a
        foreign one."""
        if self._known is None:
            return await self._first_end()
        starts = await self._starts_from(self._known.start + 1)
        return next_end(self._take([self._known, *[await self._manifest(start) for start in starts]]))

    async def _first_end(self) -> ChainEnd:
        """The end as this process sees it first. What retention drops meanwhile lies below a newer base: then again."""
        base = await self._base()
        while True:
            try:
                return await self._end_above(base)
            except BadData:
                newer = await self._base()
                if newer == base:
                    raise
                base = newer

    async def _end_above(self, base: ChainBase | None) -> ChainEnd:
        """By the last manifests; of a chain without any, what the base left behind, or the very beginning."""
        begin = (
            ChainEnd() if base is None else ChainEnd(end=base.start, max_source_offset=base.max_source_offset)
        )
        found = await self._starts_near_hint() or await self._starts_from(0)
        starts = [start for start in found if start >= begin.end][-_LINKS_CHECKED:]
        if not starts:
            return begin
        return next_end(self._take([await self._manifest(start) for start in starts]))

    def _take(self, manifests: Sequence[Manifest]) -> Manifest:
        """Check manifests that follow each other, and remember the last."""
        check_links(manifests)
        for manifest in manifests:
            check_identity(manifest, self._identity)
        self._known = manifests[-1]
        return self._known

    async def _starts_near_hint(self) -> list[int]:
        """Starts from ever farther below the hint, until there are some; none where the hint leads nowhere."""
        hint, back = self._hint or 0, _FIRST_STEP_BACK
        found: list[int] = []
        while not found and back < hint:
            found = await self._starts_from(hint - back)
            back *= 8
        return found

    async def _starts_from(self, start: int) -> list[int]:
        """Starts of the manifests at ``start`` or above."""
        kind, partition = self._identity.kind, self._identity.partition
        after = manifest_key(kind, partition, start - 1) if start > 0 else None
        found = await self._store.list(
            chain_prefix(kind, partition), start_after=after, deadline_s=self._deadline_s
        )
        positions = [parse_manifest_key(entry.key) for entry in found]
        return [position.start for position in positions if position is not None]

    async def _manifest(self, start: int) -> Manifest:
        key = manifest_key(self._identity.kind, self._identity.partition, start)
        return decode_manifest(await self._store.get(key, deadline_s=self._deadline_s))

    async def _base(self) -> ChainBase | None:
        kind, partition = self._identity.kind, self._identity.partition
        return await read_base(self._store, kind, partition, deadline_s=self._deadline_s)
