"""Takes a body apart into events and what it says about all of them. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headrace_core.dialects import native, segment
from headrace_ingest.routes import Route

__all__ = ["Envelope", "open_envelope"]


class Envelope(NamedTuple):
    """The events' own bytes in order, and the request's sent time, context and credential, where it has them."""

    events: list[bytes]
    sent_at: str | int | float | None = None
    context: msgspec.Raw | None = None
    write_key: str | None = None


def open_envelope(route: Route, body: bytes, content_type: str) -> Envelope:
    """The events of a body. Raises BodyRejected where it has none to tell apart."""
    if route.shape == "events":
        return Envelope(native.split_body(body, content_type))
    found = (
        segment.split_batch(body) if route.shape == "batch" else segment.single(body, _call_of(route.path))
    )
    context = None if found.context is None else msgspec.Raw(found.context)
    return Envelope(found.events, found.sent_at, context, found.write_key)


def _call_of(path: str) -> str:
    """The event type that a hot path of one event names; every such path of the route table is a call of the API."""
    return segment.type_of_path(path) or ""
