"""Edges of identity.edges: their record, its key, and which edges an event makes. Pure."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from headrace_core.blank import is_blank
from headrace_core.errors import BadData
from headrace_core.events import CleanEvent

__all__ = [
    "EVENT_CONFIDENCE",
    "EVERY_CUSTOMER",
    "MOST_ID_BYTES",
    "AliasKind",
    "Edge",
    "EdgeOp",
    "decode_edge",
    "edge_flaw",
    "edge_key",
    "edges_of",
    "encode_edge",
    "is_nobody",
    "split_edge_key",
    "user_key_of",
]

AliasKind = Literal["user", "anonymous"]
EdgeOp = Literal["assert", "retract"]

EVERY_CUSTOMER: Final = ""
"""The customer of a retraction that takes back all that its source said about the alias."""

EVENT_CONFIDENCE: Final = 0.8
"""Of what a client says by identify or alias. A mapping database says 1 unless its query says otherwise."""

MOST_ID_BYTES: Final = 510
"""UTF-8 bytes of an alias or a customer: with its prefix it has to fit the 512 bytes of user_key."""

_SEPARATOR = "\0"
_TIMES = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""From the year 1 to the end of 9999 in µs: what databases can hold."""
_PREFIXES: Final[dict[AliasKind, str]] = {"user": "u:", "anonymous": "a:"}
_PREFIX_OF: Final[dict[str, str]] = {kind: prefix for kind, prefix in _PREFIXES.items()}  # noqa: C416  (of any text)


class Edge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What ``source`` says since ``valid_from`` (UTC µs): ``alias`` belongs to ``customer_id``, or, retracted, no longer.

    ``customer_id`` may be a user id that edges of its own lead on from. ``confidence`` is 0 to 1.
    """

    kind: AliasKind
    alias: Annotated[str, msgspec.Meta(min_length=1)]
    customer_id: str
    op: EdgeOp
    source: Annotated[str, msgspec.Meta(min_length=1)]
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    valid_from: int

    @property
    def user_key(self) -> str:
        """The alias as events carry it."""
        return _PREFIXES[self.kind] + self.alias


encode_edge = msgspec.json.Encoder().encode
"""Edge to the value of its record: JSON, fields in the order of the Struct."""

_decode = msgspec.json.Decoder(Edge).decode


def decode_edge(value: bytes) -> Edge:
    """The edge of a record's value; fields of a later version are ignored. BadData where it is none."""
    try:
        edge = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(str(error)) from None
    if flaw := edge_flaw(edge):
        raise _unreadable(flaw)
    return edge


def _unreadable(why: str) -> BadData:
    return BadData(
        "A record of identity.edges is no edge.",
        why=why,
        fix="Something else than Headrace writes to the topic, or a newer version; the record is passed over.",
        code="edge_unreadable",
    )


def edge_key(edge: Edge) -> bytes:
    """The key of the edge's record: kind, alias, source and customer, with NUL between them (ADR 10)."""
    return _SEPARATOR.join((edge.kind, edge.alias, edge.source, edge.customer_id)).encode()


def split_edge_key(key: bytes) -> tuple[str, str, str] | None:
    """user_key, source and customer of a record's key, which is all that a tombstone has; None where it is no key."""
    try:
        kind, alias, source, customer_id = key.decode().split(_SEPARATOR)
    except ValueError:
        return None
    prefix = _PREFIX_OF.get(kind)
    return None if prefix is None else (prefix + alias, source, customer_id)


def user_key_of(kind: AliasKind, alias: str) -> str:
    """The alias as the column user_key of events has it."""
    return _PREFIXES[kind] + alias


_NOBODY = frozenset(
    {
        "0",
        "-1",
        "00000000-0000-0000-0000-000000000000",
        "[object object]",
        "anon",
        "anonymous",
        "anonymous_id",
        "anonymousid",
        "default",
        "distinct_id",
        "email",
        "false",
        "guest",
        "id",
        "n/a",
        "nil",
        "nobody",
        "not_authenticated",
        "true",
        "unauthenticated",
        "unknown",
        "user",
        "user_id",
        "userid",
    }
)
_LONGEST_NOBODY = max(map(len, _NOBODY)) + 8


def is_nobody(identifier: str) -> bool:
    """Whether an id is what clients send for everyone they do not know: an edge of it would make one person of them all."""
    if len(identifier) > _LONGEST_NOBODY:
        return identifier.isspace()
    bare = identifier.strip(" \t\r\n\"'").lower()
    return bare in _NOBODY or is_blank(bare)


def edge_flaw(edge: Edge) -> str:
    """Why an edge must not be, empty where it may: ids that stand for nobody, do not fit, or are the same."""
    if edge.customer_id == edge.alias:
        return "it leads from an id to itself"
    named = (
        [edge.alias]
        if edge.op == "retract" and edge.customer_id == EVERY_CUSTOMER
        else [edge.alias, edge.customer_id]
    )
    for identifier in named:
        if is_nobody(identifier):
            return f"the id {identifier!r} stands for nobody"
        if _SEPARATOR in identifier:
            return "an id holds a NUL character"
        if len(identifier.encode()) > MOST_ID_BYTES:
            return f"an id is longer than {MOST_ID_BYTES} bytes"
    if edge.valid_from not in _TIMES:
        return "its time is not between the years 1 and 9999, in microseconds"
    return "the source holds a NUL character" if _SEPARATOR in edge.source else ""


def edges_of(event: CleanEvent, previous_id: str | None = None) -> tuple[Edge, ...]:
    """The edges that an event makes. ``previous_id`` is ParsedEvent's: an alias event keeps it in no column.

    identify ties its anonymous id to its user id; alias ties its previous id, which may have been either, to its user id.
    """
    if event.user_id is None:
        return ()
    if event.event_type == "identify" and event.anonymous_id is not None:
        return _good(_said(event, "anonymous", event.anonymous_id, event.user_id))
    if event.event_type == "alias" and previous_id is not None:
        return _good(
            _said(event, "anonymous", previous_id, event.user_id),
            _said(event, "user", previous_id, event.user_id),
        )
    return ()


def _said(event: CleanEvent, kind: AliasKind, alias: str, customer_id: str) -> Edge:
    return Edge(
        kind=kind,
        alias=alias,
        customer_id=customer_id,
        op="assert",
        source=event.source,
        confidence=EVENT_CONFIDENCE,
        valid_from=event.event_ts,
    )


def _good(*edges: Edge) -> tuple[Edge, ...]:
    return tuple(edge for edge in edges if not edge_flaw(edge))
