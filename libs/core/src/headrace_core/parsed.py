"""ParsedEvent: what a dialect reads from an event's own bytes, before normalisation.

A dialect is a pure function from bytes to this; identity and normalisation know nothing of dialects beyond it.
"""

from __future__ import annotations

import msgspec

from headrace_core.reasons import Reason

__all__ = ["EMPTY_OBJECT", "ParsedEvent", "Rejected"]

EMPTY_OBJECT = msgspec.Raw(b"{}")


class Rejected(Exception):
    """An event that cannot become a row as it is; ``reason`` and ``detail`` go to quarantine with its bytes."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason.code}: {detail}")


class ParsedEvent(msgspec.Struct, kw_only=True, gc=False):
    """One event as its sender meant it. Text is as sent; ``properties`` and ``context`` are raw JSON objects that also hold
    every field that has no place of its own; where nothing is added they are a view of the event's own bytes."""

    event_type: str
    event_name: str | None = None
    client_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    time: str | int | float | None = None
    """The client's own event time as sent."""
    sent_at: str | int | float | None = None
    """The event's own sent time; the request's (RequestMeta) stands in where it is None."""
    session_id: str | None = None
    properties: msgspec.Raw = EMPTY_OBJECT
    """Properties or traits as sent."""
    context: msgspec.Raw = EMPTY_OBJECT
    content: bytes = b""
    """The dialect's fingerprint fields (headrace_core.keys.content_of)."""
    time_layout: str | None = None
    """How a mapping says that ``time`` is written (headrace_core.times.read_time); None for the general rules."""
    naive_zone: str | None = None
    """The mapping's zone of times without one; None for the source's."""
    columns: dict[str, str] | None = None
    """Values that a mapping gives columns directly, by column name, already checked; they come before what is found in
    properties and context."""
