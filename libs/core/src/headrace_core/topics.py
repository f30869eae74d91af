"""The topics: names, keys, retention. Every service takes them from here and none creates others."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

__all__ = [
    "BATCHES_LOADED",
    "BATCHES_STAGED",
    "DEDUP_INDEX",
    "EVENTS_CLEAN",
    "EVENTS_QUARANTINE",
    "EVENTS_RAW",
    "HEADER_FINGERPRINT",
    "HEADER_INDEX",
    "HEADER_META",
    "HEADER_QUARANTINE",
    "HEADER_RERUN",
    "HEADER_SOURCE_OFFSET",
    "IDENTITY_EDGES",
    "TOPICS",
    "Topic",
]

_DAY_MS = 86_400_000

HEADER_META = "m"
"""RequestMeta as JSON, shared by all events of a request."""
HEADER_INDEX = "i"
"""Index of the event in its request, u32 big endian."""
HEADER_RERUN = "r"
"""Reference of the record that this one repeats (rule R1)."""
HEADER_SOURCE_OFFSET = "s"
"""Offset of the record in events.raw that this one stems from, i64 big endian."""
HEADER_FINGERPRINT = "f"
"""Fingerprint of a clean event, u64 big endian: staging sums it up without knowing dialects (ADR 0003)."""
HEADER_QUARANTINE = "q"
"""Quarantine note: {reason, stage, detail} as JSON."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and its settings. ``partitions`` is 'P' where it follows the installation's partition count."""

    name: str
    partitions: Literal["P", "one"]
    config: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _settings(retention_days: int, **more: str) -> MappingProxyType[str, str]:
    """Delete-retention settings; the daily segment roll keeps personal data from outliving retention by more than a day."""
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_days * _DAY_MS),
        "segment.ms": str(_DAY_MS),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(8 << 20),
    }
    return MappingProxyType({**settings, **{name.replace("_", "."): value for name, value in more.items()}})


EVENTS_RAW = Topic("events.raw", "P", _settings(7))
EVENTS_CLEAN = Topic("events.clean", "P", _settings(7))
EVENTS_QUARANTINE = Topic("events.quarantine", "P", _settings(29))  # with the roll of a day: 30 days at most
DEDUP_INDEX = Topic("dedup.index", "P", _settings(8))
IDENTITY_EDGES = Topic("identity.edges", "one", _settings(30, cleanup_policy="compact"))
BATCHES_STAGED = Topic("batches.staged", "one", _settings(7))
BATCHES_LOADED = Topic("batches.loaded", "one", _settings(7))

TOPICS = (
    EVENTS_RAW,
    EVENTS_CLEAN,
    EVENTS_QUARANTINE,
    DEDUP_INDEX,
    IDENTITY_EDGES,
    BATCHES_STAGED,
    BATCHES_LOADED,
)
