"""Tombstones for the edges of subjects in identity.edges (rule E3): compaction then removes what they said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headrace_core.identity import split_edge_key
from headrace_runtime.edge_log import EDGES
from headrace_runtime.kafka import KafkaConnection, KafkaLogWriter
from headrace_runtime.ports_log import Batch
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.ports import Suppressions
from headrace_spark.settings import SparkSettings
from headrace_spark.subject_rows import user_keys

__all__ = ["EdgeEraser", "LogEdgeEraser", "keys_about"]

_WITHIN_S = 60.0


class EdgeEraser(Protocol):
    """Writes tombstones."""

    async def erase(self, keys: Sequence[bytes]) -> None:
        """A tombstone for each key of a record. Raises LogUnavailable, AppendRefused, AppendUnknown."""


class LogEdgeEraser:
    """`EdgeEraser` over the brokers."""

    def __init__(self, settings: SparkSettings) -> None:
        self._settings = settings

    async def erase(self, keys: Sequence[bytes]) -> None:
        """See `EdgeEraser`."""
        if not keys:
            return
        writer = KafkaLogWriter(KafkaConnection.from_settings(self._settings, client_id="headrace-erase"))
        await writer.start(deadline_s=_WITHIN_S)
        try:
            await writer.append_all(EDGES, Batch([*keys], [None] * len(keys)), deadline_s=_WITHIN_S)
        finally:
            await writer.stop(deadline_s=2.0)


def keys_about(snapshot: EdgeSnapshot, subjects: Suppressions) -> list[bytes]:
    """Keys of the records that still say something of a subject, each once."""
    named = user_keys(subjects)
    living: dict[bytes, bool] = {}
    for record in snapshot.records:
        parts = split_edge_key(record.key)
        if parts is not None and (parts[0] in named or parts[2] in subjects.customers):
            living[record.key] = record.edge is not None
    return [key for key, lives in living.items() if lives]
