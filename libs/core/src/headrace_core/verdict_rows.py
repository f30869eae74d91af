"""VerdictRow: the one definition of the columns of archived verdicts, a row per raw record that a valid block decided."""

from __future__ import annotations

from typing import Annotated

import msgspec

from headrace_core.events import Column

__all__ = ["VERDICT_ROWS_VERSION", "VerdictRow"]

VERDICT_ROWS_VERSION = 1


class VerdictRow(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """What became of one raw record. Offsets ``src_*`` and ``first_offset`` are of events.raw."""

    dedup_id: Annotated[str, Column("uuid", nullable=False)]
    src_partition: Annotated[int, Column("integer", nullable=False, low_cardinality=True)]
    src_offset: Annotated[int, Column("bigint", nullable=False)]
    verdict: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    """accepted, duplicate or quarantined."""
    reason: Annotated[str | None, Column("text", low_cardinality=True)] = None
    """Code of the reason; null for accepted and duplicate. ``reason-<number>`` where a newer version wrote it."""
    first_offset: Annotated[int | None, Column("bigint")] = None
    """Of a duplicate or conflict: the offset of the record it was compared with."""
    fingerprint: Annotated[int, Column("bigint", nullable=False)]
    """The 64 bits as a signed number."""
    decided_ts: Annotated[int, Column("timestamp", nullable=False, low_cardinality=True)]
    """The partition clock of the block."""
    rules_version: Annotated[int, Column("smallint", nullable=False, low_cardinality=True)]
    index_offset: Annotated[int, Column("bigint", nullable=False, low_cardinality=True)]
    """Offset of the block in dedup.index."""
