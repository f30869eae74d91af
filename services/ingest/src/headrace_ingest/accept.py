"""Decides what becomes of each event of a request: a record for events.raw, or one for events.quarantine. Pure.

A bad event never touches its neighbours: each is checked, read and identified by itself, and its bytes are written as
they came. The only bytes that change are those of events into which a batch context is merged that is too large for
RequestMeta.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from xxhash import xxh3_64_intdigest

from headrace_core.dialects import Mappings, parse
from headrace_core.identify import identify
from headrace_core.keys import partition_of
from headrace_core.meta import (
    META_LIMIT_BYTES,
    QuarantineNote,
    RequestMeta,
    encode_meta,
    encode_note,
)
from headrace_core.parsed import Rejected
from headrace_core.reasons import Reason
from headrace_ingest.header_sections import HeaderSections
from headrace_ingest.limits import EVENT_LIMIT_BYTES, INFLATED_LIMIT_BYTES, REQUEST_EVENTS_LIMIT
from headrace_ingest.refusals import Refusal, RefusalCode

__all__ = ["Accepted", "Columns", "MadeId", "Rejection", "accept", "undecodable"]

_NO_KEY = b""


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """An event that went to quarantine, as the sender is told."""

    index: int
    reason: str
    detail: str


class MadeId(msgspec.Struct, frozen=True, gc=False):
    """The id of an event that came without one."""

    index: int
    event_id: str
    id_source: str


@dataclass(slots=True)
class Columns:
    """Records of one topic as parallel lists; ``headers`` holds encoded header sections."""

    partitions: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)

    def add(self, partition: int, key: bytes, value: bytes, headers: bytes) -> None:
        """One record."""
        self.partitions.append(partition)
        self.keys.append(key)
        self.values.append(value)
        self.headers.append(headers)


@dataclass(slots=True)
class Accepted:
    """The records of one request, and what its sender has to know. Events are in the order of the request."""

    raw: Columns = field(default_factory=Columns)
    quarantine: Columns = field(default_factory=Columns)
    rejections: list[Rejection] = field(default_factory=list)
    made_ids: list[MadeId] = field(default_factory=list)


def accept(events: Sequence[bytes], meta: RequestMeta, partitions: int, mappings: Mappings) -> Accepted:
    """The records of ``events``. Raises Refusal where there are too many of them or the batch context fits nowhere."""
    if len(events) > REQUEST_EVENTS_LIMIT:
        raise Refusal(RefusalCode.TOO_MANY_EVENTS, f"It has {len(events)}.")
    values, encoded_meta, reading = events, encode_meta(meta), meta
    if meta.context is not None:
        # What an event is does not depend on the batch context, and decoding it for each of them is dear.
        reading = msgspec.structs.replace(meta, context=None)
        if len(encoded_meta) > META_LIMIT_BYTES:
            values, encoded_meta = _with_context(events, meta.context), encode_meta(reading)
    judged = _Judgement(meta.request_id, encoded_meta, partitions)
    raw, headers_of = judged.accepted.raw, judged.headers.of
    add_partition, add_key = raw.partitions.append, raw.keys.append
    add_value, add_headers = raw.values.append, raw.headers.append
    for index, value in enumerate(values):
        try:
            parsed = parse(value, reading, mappings)
        except Rejected as rejected:
            judged.quarantine(index, value, rejected)
            continue
        identity = identify(parsed, reading, index)
        key = identity.dedup_id
        add_partition(partition_of(key, partitions))
        add_key(key)
        add_value(value)
        add_headers(headers_of(index))
        if identity.id_source != "client":
            judged.accepted.made_ids.append(MadeId(index, identity.event_id, identity.id_source))
    return judged.accepted


def undecodable(body: bytes, detail: str, meta: RequestMeta, partitions: int) -> Accepted:
    """A body that is no events at all, as the one quarantine record that keeps it. ``meta`` holds no batch context."""
    judged = _Judgement(meta.request_id, encode_meta(meta), partitions)
    judged.quarantine(0, body, Rejected(Reason.UNDECODABLE_BODY, detail))
    return judged.accepted


class _Judgement:
    """What one request's events became so far."""

    __slots__ = ("_partitions", "_request_id", "accepted", "headers")

    def __init__(self, request_id: str, encoded_meta: bytes, partitions: int) -> None:
        self._request_id, self._partitions = request_id, partitions
        self.accepted, self.headers = Accepted(), HeaderSections(encoded_meta)

    def quarantine(self, index: int, value: bytes, rejected: Rejected) -> None:
        """An event that goes to quarantine, on a partition that follows from its place."""
        code, detail = rejected.reason.code, rejected.detail[:_DETAIL_LIMIT_CHARS]
        note = encode_note(QuarantineNote(reason=code, stage="ingest", detail=detail))
        partition = xxh3_64_intdigest(f"{self._request_id}-{index}".encode()) % self._partitions
        self.accepted.quarantine.add(partition, _NO_KEY, value, self.headers.quarantined(index, note))
        self.accepted.rejections.append(Rejection(index, code, detail))


_DETAIL_LIMIT_CHARS = 300
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode_members = msgspec.json.Encoder().encode


def _with_context(values: Sequence[bytes], context: msgspec.Raw) -> list[bytes]:
    """The events with the batch context in each. Raises Refusal where one of them or all together grow too large."""
    members = _decode_members(context)
    merged, total = [], 0
    for value in values:
        whole = _merged(value, members)
        total += len(whole)
        if len(whole) > max(EVENT_LIMIT_BYTES, len(value)) or total > INFLATED_LIMIT_BYTES:
            raise Refusal(RefusalCode.CONTEXT_TOO_LARGE, f"It has {len(bytes(context))} bytes.")
        merged.append(whole)
    return merged


def _merged(value: bytes, context: dict[str, msgspec.Raw]) -> bytes:
    """One event with the batch context under its own; an event that is no object, or whose context is none, as it is."""
    try:
        event = _decode_members(value)
        own = _decode_members(event["context"]) if event.get("context", b"null") != b"null" else {}
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return value
    event["context"] = msgspec.Raw(_encode_members({**context, **own}))
    return _encode_members(event)
