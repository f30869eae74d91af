"""The native JSON dialect: ``POST /v1/events`` with one event, an array, or one event a line (NDJSON).

An event is {type, name, id, time, sent_at, user_id, anonymous_id, group_id, previous_id, session_id, properties, context};
``event`` may stand for ``name``. Docs: docs/events.md.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from headrace_core.dialects.body import BodyRejected, decode_body, split_array, trim
from headrace_core.dialects.fields import (
    ABSENT,
    Envelope,
    EventReader,
    Extras,
    IdValue,
    Text,
    TimeValue,
    as_sent,
    context_with,
    known_id,
    known_time,
    object_of,
    shown_id,
)
from headrace_core.events import EventType
from headrace_core.keys import content_of
from headrace_core.meta import RequestMeta
from headrace_core.parsed import ParsedEvent, Rejected
from headrace_core.reasons import Reason

__all__ = ["DIALECT", "parse", "split_body"]

DIALECT = "native"

_TYPES = frozenset(get_args(EventType))
_NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")


class _NativeEvent(Envelope):
    type: Text = None
    name: Text = None
    event: Text = None
    id: IdValue = None
    time: TimeValue = None
    sent_at: TimeValue = None
    user_id: IdValue = None
    anonymous_id: IdValue = None
    group_id: IdValue = None
    previous_id: IdValue = None
    session_id: IdValue = None
    properties: msgspec.Raw = ABSENT
    context: msgspec.Raw = ABSENT


_read = EventReader(_NativeEvent).read


def parse(value: bytes, meta: RequestMeta, _mappings: object = None) -> ParsedEvent:
    """Read a native event. Rejected where it is none."""
    # The usual case of a field is told here: a call for each of them would cost as much as the decoder.
    event, extras = _read(value)
    name = event.name if event.name and event.event is None else _name_of(event, extras)
    event_type = event.type
    if event_type is None or event_type not in _TYPES or not name:
        event_type = _type_of(event_type, name)
    client_id = known_id(event.id, "id", extras)
    user_id = known_id(event.user_id, "user_id", extras)
    anonymous_id = known_id(event.anonymous_id, "anonymous_id", extras)
    group_id = None if event.group_id is None else shown_id(event.group_id, "group_id", extras)
    previous_id = None if event.previous_id is None else shown_id(event.previous_id, "previous_id", extras)
    session_id = None if event.session_id is None else known_id(event.session_id, "session_id", extras)
    time = known_time(event.time, "time", extras)
    properties = object_of(event.properties, "properties")
    context = object_of(event.context, "context")
    if extras or meta.context is not None:
        context = context_with(context, meta.context, extras)
    return ParsedEvent(
        event_type=event_type,
        event_name=name,
        client_id=client_id,
        user_id=user_id,
        anonymous_id=anonymous_id,
        group_id=group_id,
        previous_id=previous_id,
        time=time,
        sent_at=event.sent_at,
        session_id=session_id,
        properties=properties,
        context=context,
        content=content_of(
            (
                event_type,
                name,
                user_id,
                anonymous_id,
                group_id,
                previous_id,
                as_sent(time),
                memoryview(properties),
            )
        ),
    )


def _name_of(event: _NativeEvent, extras: Extras) -> str | None:
    if event.name is None:
        return event.event or None
    if event.event is not None:
        extras["event"] = event.event
    return event.name or None


def _type_of(given: str | None, name: str | None) -> str:
    if given is None and name is None:
        raise Rejected(Reason.MISSING_FIELD, "type: an event has a type or a name")
    event_type = "track" if given is None else given
    if event_type not in _TYPES:
        raise Rejected(
            Reason.UNKNOWN_EVENT_TYPE, f"type: {event_type[:80]!r} is none of {', '.join(sorted(_TYPES))}"
        )
    if event_type == "track" and name is None:
        raise Rejected(Reason.MISSING_FIELD, "name: a track event has a name")
    return event_type


_event = msgspec.json.Decoder(msgspec.Raw)


def split_body(body: bytes, content_type: str = "application/json") -> list[bytes]:
    """Each event's own bytes, verbatim but for white space around them. BodyRejected where there are no events to tell apart.

    A line of NDJSON is an event whatever it holds, so that a bad one never hurts its neighbours.
    """
    text = trim(body)
    if content_type.partition(";")[0].strip().lower() in _NDJSON_TYPES:
        return _lines(text)
    if text[:1] == b"[":
        return split_array(text)
    if b"\n" not in text:
        decode_body(_event, text)
        return [text]
    return _one_or_lines(text)


def _lines(text: bytes) -> list[bytes]:
    return [line for line in map(trim, text.split(b"\n")) if line]


def _one_or_lines(text: bytes) -> list[bytes]:
    """One event printed over several lines, or NDJSON: then at least one line is an object of its own."""
    try:
        decode_body(_event, text)
    except BodyRejected:
        lines = _lines(text)
        if lines[0] in _OPENINGS or not any(map(_is_whole_object, lines)):
            raise
        return lines
    return [text]


_OPENINGS = (b"{", b"[")


def _is_whole_object(line: bytes) -> bool:
    try:
        decode_body(_event, line)
    except BodyRejected:
        return False
    return line[:1] == b"{"
