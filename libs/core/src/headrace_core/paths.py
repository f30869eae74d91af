"""Keys in the object store. Nothing else builds or takes apart a key.

``date=``/``hour=`` of raw and staged objects are a layout hint: the UTC append hour of the first record of the object's
manifest. Readers select by manifests and pointers and never list a data prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

__all__ = [
    "ChainKind",
    "ChainPosition",
    "base_key",
    "chain_prefix",
    "manifest_key",
    "object_key",
    "overflow_key",
    "parse_manifest_key",
    "parse_object_key",
]

ChainKind = Literal["events", "raw", "verdicts"]

_DATA_PREFIX: dict[ChainKind, str] = {"events": "staged/events", "raw": "raw", "verdicts": "verdicts"}
_SUFFIX: dict[ChainKind, str] = {"events": "parquet", "raw": "jsonl.zst", "verdicts": "parquet"}


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """Start of a manifest in the chain of a partition."""

    kind: ChainKind
    partition: int
    start: int


def chain_prefix(kind: ChainKind, partition: int) -> str:
    """Prefix under which the manifests of a partition sort by start offset."""
    return f"manifests/{kind}/p={partition:02d}/"


def manifest_key(kind: ChainKind, partition: int, start: int) -> str:
    """Key of the manifest that starts at ``start``; created with If-None-Match and never rewritten."""
    return f"{chain_prefix(kind, partition)}{start:020d}.json"


def base_key(kind: ChainKind, partition: int) -> str:
    """Key of the object that lets manifests below its start be dropped (start, running maximum)."""
    return f"{chain_prefix(kind, partition)}base.json"


def parse_manifest_key(key: str) -> ChainPosition | None:
    """The position that a manifest key stands for; None where the key is no manifest's."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "manifests" or parts[1] not in _DATA_PREFIX:
        return None
    name, _, suffix = parts[3].partition(".")
    if suffix != "json" or len(name) != 20 or not name.isdigit() or not parts[2].startswith("p="):
        return None
    return ChainPosition(parts[1], int(parts[2][2:]), int(name))


def object_key(kind: ChainKind, partition: int, start: int, end: int, *, appended_ms: int, nonce: str) -> str:
    """Key of a data object. It carries the start of its manifest, so that an orphan can be told from a live object."""
    name = f"p={partition:02d}/{start:020d}-{end:020d}-{nonce}.{_SUFFIX[kind]}"
    if kind == "verdicts":
        return f"{_DATA_PREFIX[kind]}/{name}"
    hour = datetime.fromtimestamp(appended_ms / 1000, UTC)
    return f"{_DATA_PREFIX[kind]}/date={hour:%Y-%m-%d}/hour={hour:%H}/{name}"


def parse_object_key(key: str) -> ChainPosition | None:
    """The chain position whose manifest may name this data object; None where the key is no data object's."""
    for kind, prefix in _DATA_PREFIX.items():
        if not key.startswith(prefix + "/"):
            continue
        *_, partition, name = key.split("/")
        start = name.split("-", 1)[0]
        if partition.startswith("p=") and start.isdigit():
            return ChainPosition(kind, int(partition[2:]), int(start))
    return None


def overflow_key(sha256_hex: str) -> str:
    """Key of a value that is too long for a column."""
    return f"overflow/{sha256_hex}"
