"""How far a sync has read its table, and when that may be believed. Pure.

It lies in the object store, one object per source, written after the edges below it are acknowledged. It names the topic
that they went to: of a topic made anew nothing is remembered, and everything is read again. Reading again is always right,
since an edge that comes again changes nothing.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from headrace_core.errors import BadData

__all__ = ["Bound", "SyncState", "Watermark", "decode_state", "encode_state", "query_digest", "watermark_of"]

Bound = datetime | date | int | Decimal | str
"""A value of the watermark column, as the database takes it."""


class Watermark(msgspec.Struct, frozen=True):
    """A value of the watermark column, with its type."""

    kind: Literal["time", "date", "number", "text"]
    value: str

    def bound(self, overlap: float) -> Bound:
        """Where to read on: ``overlap`` seconds (of a number: units) before, for rows that were committed late."""
        match self.kind:
            case "time":
                return datetime.fromisoformat(self.value) - timedelta(seconds=overlap)
            case "date":
                return date.fromisoformat(self.value) - timedelta(days=-(-overlap // 86_400))
            case "number":
                number = Decimal(self.value) - Decimal(overlap)
                return int(number) if number == number.to_integral_value() else number
            case "text":
                return self.value


def watermark_of(value: object) -> Watermark | None:
    """The watermark of a column's value, None of null. BadData where values of its type have no order to read on from."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return Watermark("time", value.isoformat())
    if isinstance(value, date):
        return Watermark("date", value.isoformat())
    if isinstance(value, str):
        return Watermark("text", value)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Watermark("number", str(value))
    raise BadData(
        f"The watermark column holds a {type(value).__name__}.",
        why="Reading on needs times, dates, whole numbers, decimals or texts.",
        fix="Name another column with --watermark-column, or cast it in the query.",
        code="watermark_type",
    )


class SyncState(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a source."""

    version: Literal[1] = 1
    cluster_id: str
    topic_id: str
    query: str
    """Digest of the query."""
    column: str
    watermark: Watermark
    synced_ms: int

    def distrust(self, *, cluster_id: str, topic_id: str, query: str, column: str) -> str:
        """Why the watermark means nothing for this run; empty where it does."""
        if (self.cluster_id, self.topic_id) != (cluster_id, topic_id):
            return "the edges went to another topic"
        if (self.query, self.column) != (query_digest(query), column):
            return "the query or its watermark column is another one"
        return ""


def query_digest(query: str) -> str:
    """The query, short."""
    return hashlib.sha256(" ".join(query.split()).encode()).hexdigest()


encode_state = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SyncState).decode


def decode_state(data: bytes) -> SyncState | None:
    """What an object says; None where it cannot be read, which costs a sync from the beginning."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
