"""From an event's bytes to its row, as dedup does it."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_core.dialects import Mappings, parse
from headrace_core.events import CleanEvent, encode_clean
from headrace_core.identify import Identity, identify
from headrace_core.meta import RequestMeta, RerunReference
from headrace_core.normalise import normalise
from headrace_core.parsed import ParsedEvent, Rejected

__all__ = ["RECEIVED_MS", "clean_of", "identity_of", "parsed_of", "reason_of", "request", "row_of"]

RECEIVED_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z."""


def request(dialect: str = "segment", **changes: Any) -> RequestMeta:
    """A request that was received at RECEIVED_MS."""
    fields: dict[str, Any] = {
        "source": "web",
        "dialect": dialect,
        "path": "/v1/batch",
        "received_at": RECEIVED_MS,
        "request_id": "req-1",
    }
    return RequestMeta(**{**fields, **changes})


def _bytes(event: object) -> bytes:
    return event if isinstance(event, bytes) else msgspec.json.encode(event)


def parsed_of(event: object, meta: RequestMeta, mappings: Mappings | None = None) -> ParsedEvent:
    """What the dialect reads."""
    return parse(_bytes(event), meta, mappings or {})


def identity_of(
    event: object,
    meta: RequestMeta,
    mappings: Mappings | None = None,
    *,
    index: int = 0,
    rerun: RerunReference | None = None,
) -> Identity:
    """The event's identity."""
    return identify(parsed_of(event, meta, mappings), meta, index, rerun)


def clean_of(event: object, meta: RequestMeta, mappings: Mappings | None = None) -> CleanEvent:
    """The event's row."""
    parsed = parsed_of(event, meta, mappings)
    identity = identify(parsed, meta, 0, None)
    return normalise(parsed, identity, meta, None, src_partition=3, src_offset=7)


def row_of(event: object, meta: RequestMeta, mappings: Mappings | None = None) -> dict[str, Any]:
    """The event's row as decoded JSON; columns without a value are left out."""
    decoded: dict[str, Any] = msgspec.json.decode(encode_clean(clean_of(event, meta, mappings)))
    return decoded


def reason_of(event: object, meta: RequestMeta, mappings: Mappings | None = None) -> tuple[str, str]:
    """Code and detail of the rejection; ('', '') where the event becomes a row."""
    try:
        clean_of(event, meta, mappings)
    except Rejected as error:
        return error.reason.code, error.detail
    return "", ""
