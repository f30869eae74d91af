"""Which staged files the next transaction takes. Pure.

A partition's files load in the order of its chain (rule L2); between partitions the oldest manifest goes first, so that no
partition waits for another one's backlog.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from headrace_core.errors import RetryLater
from headrace_core.events import SCHEMA_VERSION
from headrace_core.manifest import Manifest
from headrace_loader.load_files import ManifestFile, files_of

__all__ = ["LoadLimits", "choose", "settled_prefix"]


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Bounds of one transaction. A single manifest above them is taken alone."""

    rows: int = 500_000
    bytes: int = 256 << 20


def choose(
    waiting: Mapping[int, Sequence[Manifest]], settled: Collection[int], limits: LoadLimits
) -> list[ManifestFile]:
    """Files of whole manifests, at least one where any wait. RetryLater where the oldest has a newer schema."""
    heads = [(chain[0].created_ms, partition, 0) for partition, chain in waiting.items() if chain]
    heapq.heapify(heads)
    chosen: list[ManifestFile] = []
    rows = size = 0
    while heads:
        _, partition, at = heapq.heappop(heads)
        chain = waiting[partition]
        manifest = chain[at]
        files = [file for file in files_of(manifest) if file.file_id not in settled]
        more_rows, more_bytes = sum(each.file.rows for each in files), sum(each.file.bytes for each in files)
        if chosen and (rows + more_rows > limits.rows or size + more_bytes > limits.bytes):
            break
        if files and manifest.schema_version > SCHEMA_VERSION:
            if not chosen:
                raise _newer(manifest)
            break
        chosen += files
        rows, size = rows + more_rows, size + more_bytes
        if at + 1 < len(chain):
            heapq.heappush(heads, (chain[at + 1].created_ms, partition, at + 1))
    return chosen


def settled_prefix(chain: Sequence[Manifest], settled: Collection[int]) -> int:
    """How many manifests at the chain's head have no file left to load."""
    for count, manifest in enumerate(chain):
        if any(file.file_id not in settled for file in files_of(manifest)):
            return count
    return len(chain)


def _newer(manifest: Manifest) -> RetryLater:
    return RetryLater(
        "A staged file has columns that this loader does not know.",
        why=f"Its schema version is {manifest.schema_version}, this loader knows {SCHEMA_VERSION}.",
        fix="Upgrade in the order migrate, loader, dedup: start this loader's newer version.",
        code="schema_newer",
    )
