"""RequestMeta v1 and the other record headers: what is known about an event besides its own bytes.

Normalisation is a function of (value, meta, index, rerun, rules version) alone, so everything outside the event that may
change its result stands here by value. The encoded RequestMeta is at most META_LIMIT_BYTES.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace_core.raw_json import OptionalRaw

__all__ = [
    "META_LIMIT_BYTES",
    "QuarantineNote",
    "RequestMeta",
    "RerunReference",
    "decode_index",
    "decode_meta",
    "decode_note",
    "decode_rerun",
    "decode_source_offset",
    "encode_index",
    "encode_meta",
    "encode_note",
    "encode_rerun",
    "encode_source_offset",
]

META_LIMIT_BYTES = 8 * 1024
"""A larger batch context is merged into each event before events.raw instead of travelling here."""


class RequestMeta(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the ingest service knew about a request. Times are milliseconds since 1970 UTC."""

    version: Literal[1] = 1
    source: str
    dialect: str
    dialect_version: int = 1
    path: str
    received_at: int
    request_id: str
    sent_at: str | int | float | None = None
    """The request's own sent time exactly as sent; an event's own sent time comes before it."""
    ip: str | None = None
    user_agent: str | None = None
    retry_count: int | None = None
    traceparent: str | None = None
    context: OptionalRaw = None
    """Batch context as raw JSON object; an event's own context wins key by key."""
    mapping: str | None = None
    """``name@version`` of the mapping that reads the event; None for SDK dialects."""
    naive_zone: str = "UTC"
    """IANA zone of times without one, by the source's settings."""
    skew_correction: bool = True
    """Whether client clocks are corrected by received_at - sent_at, by the source's settings."""


class RerunReference(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The record that a rerun repeats: a raw position, or a request and index for what ingest refused."""

    partition: int | None = None
    offset: int | None = None
    request_id: str | None = None
    index: int | None = None
    new_id: bool = False
    """Whether the event takes its id from this reference although it has one (rule R2)."""

    def as_text(self) -> str:
        """The reference as an event id: stable, and different for every record."""
        if self.partition is not None:
            return f"rerun-{self.partition}-{self.offset}"
        return f"rerun-{self.request_id}-{self.index}"


class QuarantineNote(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why a record is in quarantine. ``reason`` is a code of headrace_core.reasons, ``stage`` who found it."""

    reason: str
    stage: Literal["ingest", "dedup"]
    detail: str = ""


_encoder = msgspec.json.Encoder()
encode_meta = _encoder.encode
encode_rerun = _encoder.encode
encode_note = _encoder.encode
decode_meta = msgspec.json.Decoder(RequestMeta).decode
decode_rerun = msgspec.json.Decoder(RerunReference).decode
decode_note = msgspec.json.Decoder(QuarantineNote).decode


def encode_index(index: int) -> bytes:
    """Header ``i``: u32 big endian."""
    return index.to_bytes(4, "big")


def decode_index(data: bytes) -> int:
    """Header ``i`` back to a number."""
    return int.from_bytes(data, "big")


def encode_source_offset(offset: int) -> bytes:
    """Header ``s``: i64 big endian."""
    return offset.to_bytes(8, "big", signed=True)


def decode_source_offset(data: bytes) -> int:
    """Header ``s`` back to an offset."""
    return int.from_bytes(data, "big", signed=True)
