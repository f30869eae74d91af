"""The Segment dialect, which RudderStack's and Jitsu's SDKs speak too (shared reference: Segment HTTP tracking API).

One event is {type, event | name, messageId, timestamp | originalTimestamp, sentAt, userId, anonymousId, groupId, previousId,
properties | traits, context, integrations, …}. Docs: docs/events.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

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
from headrace_core.dialects.salvage import object_members
from headrace_core.keys import content_of
from headrace_core.meta import RequestMeta
from headrace_core.parsed import EMPTY_OBJECT, ParsedEvent, Rejected
from headrace_core.reasons import Reason

__all__ = [
    "BATCH_KEY",
    "DIALECT",
    "TYPE_OF_CALL",
    "SegmentBatch",
    "parse",
    "single",
    "split_batch",
    "type_of_path",
]

DIALECT = "segment"

TYPE_OF_CALL: Mapping[str, str] = MappingProxyType(
    {
        "track": "track",
        "t": "track",
        "page": "page",
        "p": "page",
        "screen": "screen",
        "s": "screen",
        "identify": "identify",
        "i": "identify",
        "group": "group",
        "g": "group",
        "alias": "alias",
        "a": "alias",
    }
)
"""The event type of a call's path segment; the browser SDK abbreviates."""

_TYPES = frozenset(TYPE_OF_CALL.values())


def type_of_path(path: str) -> str | None:
    """The event type that the last segment of a path names; None for batches."""
    return TYPE_OF_CALL.get(path.rstrip("/").rpartition("/")[2])


class _SegmentEvent(Envelope, rename="camel"):
    type: Text = None
    event: Text = None
    name: Text = None
    message_id: IdValue = None
    timestamp: TimeValue = None
    original_timestamp: TimeValue = None
    sent_at: TimeValue = None
    user_id: IdValue = None
    anonymous_id: IdValue = None
    group_id: IdValue = None
    previous_id: IdValue = None
    properties: msgspec.Raw = ABSENT
    traits: msgspec.Raw = ABSENT
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    channel: msgspec.Raw = ABSENT
    metadata: msgspec.Raw = msgspec.field(default=ABSENT, name="_metadata")
    write_key: msgspec.Raw = ABSENT
    """The credential of the request repeated by some SDKs: no part of the event."""


_read = EventReader(_SegmentEvent).read


def parse(value: bytes, meta: RequestMeta, _mappings: object = None) -> ParsedEvent:
    """Read a Segment event; without a type of its own it has the one of the request's path. Rejected where it is none."""
    event, extras = _read(value)
    event_type = event.type if event.type is not None else type_of_path(meta.path)
    name = _name_of(event, event_type, extras)
    client_id = known_id(event.message_id, "messageId", extras)
    user_id = known_id(event.user_id, "userId", extras)
    anonymous_id = known_id(event.anonymous_id, "anonymousId", extras)
    group_id = shown_id(event.group_id, "groupId", extras)
    previous_id = shown_id(event.previous_id, "previousId", extras)
    event_type = _checked_type(event_type, name, group_id, previous_id)
    time = _time_of(event, extras)
    properties = _properties_of(event, event_type, extras)
    _keep_rest(event, extras)
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
        properties=properties,
        context=context_with(object_of(event.context, "context"), meta.context, extras),
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


def _name_of(event: _SegmentEvent, event_type: str | None, extras: Extras) -> str | None:
    """``event`` of a track call, ``name`` of a page or screen; the other one has no place of its own."""
    is_view = event_type in ("page", "screen")
    own, wire, other = (event.name, "event", event.event) if is_view else (event.event, "name", event.name)
    if other is not None:
        extras[wire] = other
    return own or None


def _checked_type(
    event_type: str | None, name: str | None, group_id: str | None, previous_id: str | None
) -> str:
    if event_type is None:
        raise Rejected(Reason.MISSING_FIELD, "type")
    if event_type not in _TYPES:
        raise Rejected(
            Reason.UNKNOWN_EVENT_TYPE, f"type: {event_type[:80]!r} is none of {', '.join(sorted(_TYPES))}"
        )
    if event_type == "track" and name is None:
        raise Rejected(Reason.MISSING_FIELD, "event: a track event has a name")
    if event_type == "group" and group_id is None:
        raise Rejected(Reason.MISSING_FIELD, "groupId: a group event has one")
    if event_type == "alias" and previous_id is None:
        raise Rejected(Reason.MISSING_FIELD, "previousId: an alias event has one")
    return event_type


def _time_of(event: _SegmentEvent, extras: Extras) -> TimeValue:
    """``originalTimestamp`` is the client's own where an SDK or a replay sends both."""
    time = known_time(event.timestamp, "timestamp", extras)
    if event.original_timestamp is None:
        return time
    original = known_time(event.original_timestamp, "originalTimestamp", extras)
    if original is None:
        return time
    if time is not None:
        extras["timestamp"] = time
    return original


def _properties_of(event: _SegmentEvent, event_type: str, extras: Extras) -> msgspec.Raw:
    """Traits of identify and group, properties of the others; the second one, if sent too, has no place of its own."""
    if event.traits is ABSENT:
        return object_of(event.properties, "properties")
    properties, traits = object_of(event.properties, "properties"), object_of(event.traits, "traits")
    if properties == EMPTY_OBJECT:
        return traits
    if traits == EMPTY_OBJECT:
        return properties
    if event_type in ("identify", "group"):
        extras["properties"] = properties
        return traits
    extras["traits"] = traits
    return properties


def _keep_rest(event: _SegmentEvent, extras: Extras) -> None:
    if event.integrations is not ABSENT and event.integrations != EMPTY_OBJECT:
        extras["integrations"] = event.integrations
    if event.channel is not ABSENT:
        extras["channel"] = event.channel
    if event.metadata is not ABSENT:
        extras["_metadata"] = event.metadata


BATCH_KEY = "$batch"
"""Reserved key of the batch context that holds what a batch said besides context, times and credential."""

_BATCH_FIELDS = frozenset({"batch", "context", "sentAt", "timestamp", "writeKey"})
_EMPTY_VALUES = (b"", b"{}", b"null")


class SegmentBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A request taken apart: each event's own bytes, and what the request says about all of them. ``context`` is the raw
    batch context, with integrations and unknown fields of the batch under BATCH_KEY."""

    events: list[bytes]
    sent_at: TimeValue = None
    context: bytes | None = None
    write_key: str | None = None


class _BatchFields(msgspec.Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    batch: list[msgspec.Raw]
    sent_at: TimeValue = None
    timestamp: TimeValue = None
    write_key: Text = None
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT


_decode_batch = msgspec.json.Decoder(_BatchFields).decode
_batch_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def split_batch(body: bytes) -> SegmentBatch:
    """Take a body of ``/v1/batch`` apart. BodyRejected where it is no JSON or has no list of events."""
    text = trim(body)
    try:
        fields = _decode_batch(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _split_patiently(text)
    context = bytes(fields.context)
    if bytes(fields.integrations) not in _EMPTY_VALUES or context[:1] not in (b"", b"{"):
        return _split_patiently(text)
    return SegmentBatch(
        events=[bytes(event) for event in fields.batch],
        sent_at=fields.timestamp if fields.sent_at is None else fields.sent_at,
        context=_context_or_none(context),
        write_key=fields.write_key,
    )


def _context_or_none(context: bytes) -> bytes | None:
    return None if context in _EMPTY_VALUES else context


def _split_patiently(text: bytes) -> SegmentBatch:
    """A batch with fields of its own, or one that must be told what is wrong with it."""
    fields = _members(text)
    if "batch" not in fields:
        raise BodyRejected(Reason.MISSING_FIELD, "batch: a list of events")
    return SegmentBatch(
        events=split_array(bytes(fields["batch"])),
        sent_at=_sent_at(fields),
        context=_batch_context(fields),
        write_key=_text(fields.get("writeKey")),
    )


def _members(text: bytes) -> dict[str, msgspec.Raw]:
    """The members of the batch, also where an event of it cannot be decoded; all others must."""
    try:
        return decode_body(_batch_members, text)
    except BodyRejected as refused:
        members = object_members(text) if refused.is_undecodable else None
        if members is None:
            raise
        for name, value in members.items():
            if name != "batch":
                decode_body(_any_value, value)
        return {name: msgspec.Raw(value) for name, value in members.items()}


_any_value = msgspec.json.Decoder(msgspec.Raw)
_decode_time = msgspec.json.Decoder[TimeValue](str | int | float | None).decode


def _sent_at(fields: dict[str, msgspec.Raw]) -> TimeValue:
    """RudderStack's SDK sends both names with one value; a time of another type only means no correction of clocks."""
    for wire in ("sentAt", "timestamp"):
        try:
            time: TimeValue = _decode_time(fields.get(wire, b"null"))
        except msgspec.ValidationError:
            continue
        if time is not None:
            return time
    return None


def _batch_context(fields: dict[str, msgspec.Raw]) -> bytes | None:
    """The batch's context and, under BATCH_KEY, what else it says about its events."""
    try:
        own = object_of(fields.get("context", ABSENT), "context")
    except Rejected as error:
        raise BodyRejected(error.reason, error.detail) from None
    rest: dict[str, Any] = {wire: raw for wire, raw in fields.items() if wire not in _BATCH_FIELDS}
    if bytes(rest.get("integrations", b"")) in _EMPTY_VALUES:
        rest.pop("integrations", None)
    if rest:
        return msgspec.json.encode({**_batch_members.decode(own), BATCH_KEY: rest})
    return _context_or_none(bytes(own))


def _text(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else msgspec.json.decode(raw, type=Text)
    except msgspec.ValidationError:
        return None


class _SingleFields(msgspec.Struct, rename="camel"):
    write_key: msgspec.Raw = ABSENT


_single = msgspec.json.Decoder(_SingleFields)


def single(body: bytes, type_from_path: str) -> SegmentBatch:
    """A body of ``/v1/track`` and its like: one event, verbatim. ``type_from_path`` is the type that the path names; ``parse``
    finds it in RequestMeta where the event has none. BodyRejected where the path names no call or the body is no object."""
    if type_from_path not in _TYPES:
        raise BodyRejected(Reason.UNKNOWN_EVENT_TYPE, f"path: {type_from_path[:80]!r} is no call of the API")
    event = trim(body)
    fields = decode_body(_single, event)
    write_key = None if fields.write_key is ABSENT else _text(fields.write_key)
    return SegmentBatch(events=[event], write_key=write_key)
