"""The limits of a request (docs/services/ingest.md). Sizes in bytes."""

from __future__ import annotations

__all__ = [
    "COMMA_LIMIT",
    "EVENT_LIMIT_BYTES",
    "HEADER_LIMIT_BYTES",
    "INFLATED_LIMIT_BYTES",
    "INFLATE_RATIO_LIMIT",
    "REQUEST_EVENTS_LIMIT",
    "UNDECODABLE_LIMIT_BYTES",
    "WIRE_LIMIT_BYTES",
]

HEADER_LIMIT_BYTES = 32 << 10
"""Request line and header section."""

WIRE_LIMIT_BYTES = 1 << 20
"""A body as received."""

INFLATED_LIMIT_BYTES = 8 << 20
"""A body after decompression, and all events of a request after a batch context was merged into them."""

INFLATE_RATIO_LIMIT = 50
"""Inflated size divided by wire size."""

EVENT_LIMIT_BYTES = 256 << 10
"""One event."""

UNDECODABLE_LIMIT_BYTES = EVENT_LIMIT_BYTES
"""A body that cannot be decoded is kept up to this size."""

REQUEST_EVENTS_LIMIT = 10_000
"""Events of one request."""

COMMA_LIMIT = 1_000_000
"""Commas in an inflated body over 1 MiB: no honest body has more, and each may be an event to be made an object of."""
