"""Values that are too long for their column: when they move to an object of their own, and what stands in their place. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from headrace_core.events import Column
from headrace_core.paths import overflow_key

__all__ = ["OVERFLOW_FROM_BYTES", "moved_out", "room_of"]

OVERFLOW_FROM_BYTES = 60_000
"""A longer value is moved to an object of its own, and so is text that is wider than its warehouse column."""


def room_of(column: Column) -> int:
    """The most bytes of UTF-8 that a value of the column keeps in its row."""
    return min(column.bytes, OVERFLOW_FROM_BYTES)


def moved_out(value: bytes) -> tuple[str, str]:
    """The key of a value's object, and the reference that stands in the row."""
    key = overflow_key(hashlib.sha256(value).hexdigest())
    return key, msgspec.json.encode({"$overflow": key, "bytes": len(value)}).decode()
