"""Edges: golden records and keys, the edges that events make, and ids that make none."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.clean_events import clean_event

from headrace_core.errors import BadData
from headrace_core.events import CleanEvent
from headrace_core.identity import (
    EVERY_CUSTOMER,
    MOST_ID_BYTES,
    Edge,
    decode_edge,
    edge_flaw,
    edge_key,
    edges_of,
    encode_edge,
    is_nobody,
    split_edge_key,
)

GOLDEN = (
    (
        Edge(
            kind="anonymous",
            alias="a-1",
            customer_id="ü-1",
            op="assert",
            source="web",
            confidence=0.8,
            valid_from=1_790_000_000_000_000,
        ),
        b"anonymous\0a-1\0web\0\xc3\xbc-1",
        (
            b'{"kind":"anonymous","alias":"a-1","customer_id":"\xc3\xbc-1","op":"assert","source":"web",'
            b'"confidence":0.8,"valid_from":1790000000000000}'
        ),
    ),
    (
        Edge(
            kind="user",
            alias="u-1",
            customer_id=EVERY_CUSTOMER,
            op="retract",
            source="crm",
            confidence=1.0,
            valid_from=-1,
        ),
        b"user\0u-1\0crm\0",
        b'{"kind":"user","alias":"u-1","customer_id":"","op":"retract","source":"crm","confidence":1.0,"valid_from":-1}',
    ),
)


@pytest.mark.parametrize(("edge", "key", "value"), GOLDEN)
def test_golden_records(edge: Edge, key: bytes, value: bytes) -> None:
    assert (edge_key(edge), encode_edge(edge)) == (key, value)
    assert decode_edge(value) == edge
    assert split_edge_key(key) == (edge.user_key, edge.source, edge.customer_id)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"\xff",
        GOLDEN[0][2].replace(b"0.8", b"1.1"),
        GOLDEN[0][2].replace(b"anonymous", b"device"),
        GOLDEN[0][2].replace(b"a-1", b"null"),
        GOLDEN[0][2].replace(b'"a-1"', b'""'),
        GOLDEN[1][2].replace(b"retract", b"assert"),
        GOLDEN[0][2].replace(b"1790000000000000", b"1790000000000000000"),
    ],
)
def test_what_is_no_edge_says_so(value: bytes) -> None:
    with pytest.raises(BadData) as raised:
        decode_edge(value)
    assert raised.value.code == "edge_unreadable"


@pytest.mark.parametrize("key", [b"", b"user\0u-1\0crm", b"device\0u-1\0crm\0c", b"user\0\xff\0crm\0c"])
def test_what_is_no_key_names_nobody(key: bytes) -> None:
    assert split_edge_key(key) is None


def test_fields_of_a_later_version_are_ignored() -> None:
    edge, _, value = GOLDEN[0]
    assert decode_edge(value[:-1] + b',"later":1}') == edge


def _event(event_type: str, **ids: str | None) -> CleanEvent:
    return msgspec.structs.replace(clean_event(0), event_type=event_type, **ids)


def test_identify_ties_the_anonymous_id_to_the_user_id() -> None:
    event = _event("identify", user_id="u-1", anonymous_id="a-1")
    [edge] = edges_of(event)
    assert (edge.kind, edge.alias, edge.customer_id, edge.op) == ("anonymous", "a-1", "u-1", "assert")
    assert (edge.source, edge.valid_from, edge.confidence) == (event.source, event.event_ts, 0.8)


def test_alias_ties_the_previous_id_as_either_kind() -> None:
    edges = edges_of(_event("alias", user_id="u-1", anonymous_id="a-1"), previous_id="old")
    assert [(edge.kind, edge.alias, edge.customer_id) for edge in edges] == [
        ("anonymous", "old", "u-1"),
        ("user", "old", "u-1"),
    ]


@pytest.mark.parametrize(
    ("event", "previous_id"),
    [
        (_event("track", user_id="u-1", anonymous_id="a-1"), "old"),
        (_event("identify", user_id=None, anonymous_id="a-1"), None),
        (_event("identify", user_id="u-1", anonymous_id=None), None),
        (_event("identify", user_id="u-1", anonymous_id="u-1"), None),
        (_event("identify", user_id="guest", anonymous_id="a-1"), None),
        (_event("identify", user_id="u-1", anonymous_id="0"), None),
        (_event("alias", user_id="u-1", anonymous_id="a-1"), None),
        (_event("alias", user_id="u-1"), "u-1"),
        (_event("alias", user_id="u-1"), "x" * (MOST_ID_BYTES + 1)),
        (_event("alias", user_id="u-1"), "a\0b"),
        (_event("alias", user_id=None), "old"),
    ],
)
def test_events_that_tie_nothing(event: CleanEvent, previous_id: str | None) -> None:
    assert edges_of(event, previous_id) == ()


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        " ",
        " " * 99,
        "null",
        "NaN",
        "Undefined",
        "0",
        "-1",
        "GUEST",
        '"null"',
        "'anonymous' ",
        "[object Object]",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_ids_of_nobody(identifier: str) -> None:
    assert is_nobody(identifier)


@pytest.mark.parametrize(
    "identifier", ["00", "1", "guest-7", "null island", "x" * 99, "507f191e810c19729de860ea"]
)
def test_ids_of_somebody(identifier: str) -> None:
    assert not is_nobody(identifier)


def test_the_longest_ids_fit() -> None:
    edge = msgspec.structs.replace(GOLDEN[0][0], alias="ü" * (MOST_ID_BYTES // 2))
    assert not edge_flaw(edge)
    assert edge_flaw(msgspec.structs.replace(edge, alias=edge.alias + "x"))
