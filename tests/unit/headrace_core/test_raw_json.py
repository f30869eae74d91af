"""Nested JSON keeps its bytes on the way through clean events and request metadata."""

from __future__ import annotations

import msgspec

from headrace_core.events import CleanEvent, decode_clean, encode_clean
from headrace_core.meta import RequestMeta, decode_meta, encode_meta

_NESTED = b'{"b" : 1.50, "a":[null,"\xc3\xa9 \\u00e9"]}'


def _event(properties: msgspec.Raw | None) -> CleanEvent:
    return CleanEvent(
        dedup_id="0" * 32,
        event_id="e",
        id_source="client",
        source="shop",
        dialect="native",
        event_type="track",
        event_ts=1,
        received_ts=2,
        ts_quality="exact",
        user_key="a:x",
        identity_status="anonymous",
        src_partition=0,
        src_offset=7,
        properties=properties,
    )


def test_nested_json_of_a_clean_event_keeps_its_bytes() -> None:
    event = decode_clean(encode_clean(_event(msgspec.Raw(_NESTED))))
    assert event.properties is not None
    assert bytes(event.properties) == _NESTED
    assert event.context is None


def test_what_a_clean_event_has_not_is_not_written() -> None:
    encoded = encode_clean(_event(None))
    assert b"properties" not in encoded
    assert decode_clean(encoded).properties is None


def test_batch_context_of_a_request_keeps_its_bytes() -> None:
    meta = RequestMeta(
        source="s", dialect="native", path="/", received_at=1, request_id="r", context=msgspec.Raw(_NESTED)
    )
    found = decode_meta(encode_meta(meta)).context
    assert found is not None
    assert bytes(found) == _NESTED
    assert decode_meta(encode_meta(msgspec.structs.replace(meta, context=None))).context is None
