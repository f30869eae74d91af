"""accept: every event by itself, bytes as they came, keys as dedup will compute them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_core.dialects import parse
from headrace_core.identify import identify
from headrace_core.keys import partition_of
from headrace_core.meta import (
    META_LIMIT_BYTES,
    RequestMeta,
    decode_index,
    decode_meta,
    decode_note,
    encode_meta,
)
from headrace_ingest.accept import Accepted, accept, undecodable
from headrace_ingest.limits import EVENT_LIMIT_BYTES, REQUEST_EVENTS_LIMIT
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_runtime.record_headers import header_pairs

PARTITIONS = 12
REQUEST_ID = "0" * 12 + "ab" * 10


def meta(**more: Any) -> RequestMeta:
    fields: dict[str, Any] = {
        "source": "web",
        "dialect": "segment",
        "path": "/v1/batch",
        "received_at": 1_790_000_000_000,
        "request_id": REQUEST_ID,
    }
    return RequestMeta(**{**fields, **more})


def good(number: int) -> bytes:
    return b'{"type":"track", "event":"E", "messageId":"m-%d","properties": {"n": 1.50}}' % number


BAD = [
    b'{"type":"track"',
    b"5",
    b"[]",
    b'{"type":7}',
    b'{"type":"nonsense","messageId":"x"}',
    b'{"type":"track","event":"E","properties":NaN}',
    b'{"type":"track","event":"\\u0000"}',
    b'{"type":"track","event":"\\ud800"}',
    b'{"type":"track","event":"\xff"}',
    b'{"type":"track","event":"E","properties":' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"type":"track","event":"E","properties":{"x":"' + b"y" * EVENT_LIMIT_BYTES + b'"}}',
]


def headers_of(section: bytes) -> dict[str, bytes]:
    return dict(header_pairs(section))


def by_index(accepted: Accepted) -> dict[int, bytes]:
    """Values by the index in their header, over both topics."""
    found = {}
    for columns in (accepted.raw, accepted.quarantine):
        for value, section in zip(columns.values, columns.headers, strict=True):
            found[decode_index(headers_of(section)["i"])] = value
    return found


@settings(max_examples=80)
@given(
    st.lists(st.one_of(st.integers(0, 99).map(good), st.sampled_from(BAD)), min_size=0, max_size=12),
)
def test_bad_events_leave_their_neighbours_alone(events: list[bytes]) -> None:
    accepted = accept(events, meta(), PARTITIONS, {})
    bad = [index for index, event in enumerate(events) if event in BAD]
    assert [rejection.index for rejection in accepted.rejections] == bad
    assert len(accepted.raw.values) == len(events) - len(bad)
    assert by_index(accepted) == dict(enumerate(events))


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_event_at_any_index(bad: bytes, position: int) -> None:
    events = [good(number) for number in range(4)]
    events.insert(position, bad)
    accepted = accept(events, meta(), PARTITIONS, {})
    assert accepted.raw.values == [event for event in events if event is not bad]
    assert accepted.quarantine.values == [bad]
    assert accepted.rejections[0].index == position
    headers = headers_of(accepted.quarantine.headers[0])
    note = decode_note(headers["q"])
    assert (note.stage, note.reason) == ("ingest", accepted.rejections[0].reason)
    assert decode_meta(headers["m"]) == meta()


def test_key_and_partition_are_those_that_dedup_computes() -> None:
    event = good(1)
    accepted = accept([event], meta(), PARTITIONS, {})
    identity = identify(parse(event, meta(), {}), meta(), 0)
    assert accepted.raw.keys == [identity.dedup_id]
    assert accepted.raw.partitions == [partition_of(identity.dedup_id, PARTITIONS)]
    assert accepted.made_ids == []


def test_made_ids_are_told() -> None:
    events = [
        b'{"type":"track","event":"E"}',
        b'{"type":"track","event":"E","timestamp":"2026-01-01T00:00:00Z"}',
    ]
    accepted = accept(events, meta(), PARTITIONS, {})
    first, second = accepted.made_ids
    assert (first.index, first.event_id, first.id_source) == (0, f"{REQUEST_ID}-0", "server")
    assert (second.index, second.id_source) == (1, "derived")


def test_one_meta_for_all_records() -> None:
    accepted = accept([good(1), good(2), b"5"], meta(user_agent="agent"), PARTITIONS, {})
    sections = [*accepted.raw.headers, *accepted.quarantine.headers]
    assert {headers_of(section)["m"] for section in sections} == {encode_meta(meta(user_agent="agent"))}


def test_a_large_context_is_merged_under_the_events_own() -> None:
    context = {"locale": "de", "big": "x" * META_LIMIT_BYTES}
    own = b'{"type":"track","event":"E","messageId":"1","context":{"locale":"fr"},"properties":{"n":1.50}}'
    without = b'{"type":"track","event":"E","messageId":"2"}'
    given_meta = meta(context=msgspec.Raw(json.dumps(context).encode()))
    accepted = accept([own, without, b"broken"], given_meta, PARTITIONS, {})
    first, second = (json.loads(value) for value in accepted.raw.values)
    assert first["context"] == {"locale": "fr", "big": context["big"]}
    assert second["context"] == context
    assert b'"n":1.50' in accepted.raw.values[0]
    assert accepted.quarantine.values == [b"broken"]
    for section in (*accepted.raw.headers, *accepted.quarantine.headers):
        kept = headers_of(section)["m"]
        assert decode_meta(kept).context is None
        assert len(kept) <= META_LIMIT_BYTES
    assert accepted.raw.keys == accept([own, without], meta(), PARTITIONS, {}).raw.keys


def test_a_context_that_fits_nowhere_is_refused() -> None:
    context = msgspec.Raw(json.dumps({"big": "x" * EVENT_LIMIT_BYTES}).encode())
    with pytest.raises(Refusal) as caught:
        accept([good(1)], meta(context=context), PARTITIONS, {})
    assert caught.value.code is RefusalCode.CONTEXT_TOO_LARGE


def test_a_context_is_not_multiplied_without_end() -> None:
    context = msgspec.Raw(json.dumps({"big": "x" * (200 << 10)}).encode())
    with pytest.raises(Refusal) as caught:
        accept([good(number) for number in range(100)], meta(context=context), PARTITIONS, {})
    assert caught.value.code is RefusalCode.CONTEXT_TOO_LARGE


def test_too_many_events_are_refused() -> None:
    with pytest.raises(Refusal) as caught:
        accept([b"{}"] * (REQUEST_EVENTS_LIMIT + 1), meta(), PARTITIONS, {})
    assert caught.value.code is RefusalCode.TOO_MANY_EVENTS


@given(st.binary(max_size=200))
def test_an_undecodable_body_is_one_record(body: bytes) -> None:
    accepted = undecodable(body, "no JSON", meta(), PARTITIONS)
    assert accepted.raw.values == []
    assert accepted.quarantine.values == [body]
    assert accepted.quarantine.keys == [b""]
    assert 0 <= accepted.quarantine.partitions[0] < PARTITIONS
    assert decode_note(headers_of(accepted.quarantine.headers[0])["q"]).reason == "undecodable_body"


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_are_lost_or_raise(events: list[bytes]) -> None:
    assert by_index(accept(events, meta(), PARTITIONS, {})) == dict(enumerate(events))
