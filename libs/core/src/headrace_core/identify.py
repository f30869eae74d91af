"""The identity of a parsed event: event id, dedup id, fingerprint. Ingest and dedup call the same function."""

from __future__ import annotations

import msgspec

from headrace_core import keys
from headrace_core.meta import RequestMeta, RerunReference
from headrace_core.parsed import ParsedEvent

__all__ = ["Identity", "identify"]


class Identity(msgspec.Struct, frozen=True, gc=False):
    """Which event a record is. ``dedup_id`` is 16 bytes, ``fingerprint`` unsigned 64 bits."""

    event_id: str
    id_source: keys.IdSource
    dedup_id: bytes
    fingerprint: int


def identify(
    parsed: ParsedEvent, meta: RequestMeta, index: int, rerun: RerunReference | None = None
) -> Identity:
    """The identity of the event at ``index`` of its request (design 3.1, rule R2)."""
    event_id: str
    id_source: keys.IdSource
    if parsed.client_id and rerun is None:
        # What keys.event_id says of nearly every event, without a call that costs as much as the hashes.
        event_id, id_source = parsed.client_id, "client"
    else:
        event_id, id_source = keys.event_id(
            client_id=parsed.client_id,
            has_client_time=parsed.time is not None,
            content=parsed.content,
            request_id=meta.request_id,
            index=index,
            rerun=rerun,
        )
    return Identity(
        event_id, id_source, keys.dedup_id(meta.source, event_id), keys.fingerprint(parsed.content)
    )
