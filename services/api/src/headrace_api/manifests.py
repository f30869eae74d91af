"""The newest manifests of each partition, by the source offsets that they made readable. Pure."""

from __future__ import annotations

from bisect import bisect_left

from headrace_core.manifest import Manifest

__all__ = ["ManifestIndex"]


class ManifestIndex:
    """Manifests with rows, at most ``keep`` per partition."""

    def __init__(self, partitions: int, keep: int) -> None:
        self._keep = keep
        self._manifests: list[list[Manifest]] = [[] for _ in range(partitions)]

    def add(self, manifest: Manifest) -> None:
        """Take the next manifest of its partition's chain."""
        if not manifest.rows:
            return
        held = self._manifests[manifest.partition]
        held.append(manifest)
        if len(held) > self._keep:
            del held[: self._keep // 2]

    def find(self, partition: int, source_offset: int) -> Manifest | None:
        """The manifest that made the row of an accepted raw record readable; None where it is not there yet.

        The running maximum of source offsets rises along the chain, and a row belongs to the first manifest at or above
        its offset: later appearances of the same offset are dropped by staging.
        """
        held = self._manifests[partition]
        at = bisect_left(held, source_offset, key=lambda manifest: manifest.max_source_offset)
        return held[at] if at < len(held) else None
