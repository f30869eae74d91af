"""The native JSON dialect: splitting bodies and reading events."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import identity_of, parsed_of, reason_of, request, row_of

from headrace_core.dialects import BodyRejected
from headrace_core.dialects.native import split_body
from headrace_core.reasons import Reason

NATIVE = request("native", path="/v1/events")
NDJSON = "application/x-ndjson; charset=utf-8"


@pytest.mark.parametrize(
    ("body", "content_type", "events"),
    [
        (b'{"name":"a"}', "application/json", [b'{"name":"a"}']),
        (b' \r\n{"name": "a"}\n\n', "application/json", [b'{"name": "a"}']),
        (b'\xef\xbb\xbf{"name":"a"}', "application/json", [b'{"name":"a"}']),
        (b'{\n  "name": "a"\n}', "application/json", [b'{\n  "name": "a"\n}']),
        (b'[{"a" : 1}, 2 ,\n"x"]', "application/json", [b'{"a" : 1}', b"2", b'"x"']),
        (b"[]", "application/json", []),
        (b'{"a":1}\n{"a":2}', "application/json", [b'{"a":1}', b'{"a":2}']),
        (b'{"a":1}\r\n\r\n{"a":2}\r\n', NDJSON, [b'{"a":1}', b'{"a":2}']),
        (b'{"a":1}', NDJSON, [b'{"a":1}']),
        (b'{"a":\n{"a":2}', NDJSON, [b'{"a":', b'{"a":2}']),
        (b'{"a":\n{"a":2}\nnot json', "text/plain", [b'{"a":', b'{"a":2}', b"not json"]),
        (b"[1]\n[2]", NDJSON, [b"[1]", b"[2]"]),
        (b"", NDJSON, []),
    ],
)
def test_split_body(body: bytes, content_type: str, events: list[bytes]) -> None:
    assert split_body(body, content_type) == events


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b'{"a":1}}',
        b'{\n"a": 1,\n}',
        b'[{"a":1}',
        b"name=value&x=y",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x1f\x8b\x08\x00",
        b'["\xff"',
        b'{"a":NaN}',
    ],
)
def test_a_body_without_events_to_tell_apart(body: bytes) -> None:
    with pytest.raises(BodyRejected) as caught:
        split_body(body, "application/json")
    assert caught.value.reason is Reason.UNDECODABLE_BODY
    assert caught.value.is_undecodable


LINE = st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"").strip(b" \t\r\n"))


@given(st.lists(LINE.filter(bool)))
def test_splitting_lines_loses_no_byte(lines: list[bytes]) -> None:
    lines = [line for line in lines if not line.startswith(b"\xef\xbb\xbf")]
    assert split_body(b"\n".join(lines), NDJSON) == lines


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=5), st.sampled_from([b",", b" , ", b",\n"]))
def test_splitting_an_array_keeps_each_element_verbatim(values: list[Any], separator: bytes) -> None:
    elements = [msgspec.json.encode(value) for value in values]
    assert split_body(b"[" + separator.join(elements) + b"]") == elements


def test_every_field_finds_its_column() -> None:
    event = {
        "id": "e-1",
        "type": "track",
        "name": "Order Completed",
        "time": "2026-09-21T16:00:00.5+02:00",
        "sent_at": "2026-09-21T14:13:00Z",
        "user_id": "u-1",
        "anonymous_id": "a-1",
        "session_id": "s-1",
        "properties": {"revenue": 12.5, "currency": "eur", "items": [1, 2]},
        "context": {
            "page": {"url": "https://shop.example.com/cart?utm_source=news", "referrer": "https://t.co/x"}
        },
    }
    row = row_of(event, NATIVE)
    assert row == {
        "dedup_id": row["dedup_id"],
        "event_id": "e-1",
        "id_source": "client",
        "source": "web",
        "dialect": "native",
        "event_type": "track",
        "event_name": "Order Completed",
        "event_ts": 1_789_999_200_500_000,
        "received_ts": 1_790_000_000_000_000,
        "ts_quality": "exact",
        "original_timestamp": "2026-09-21T16:00:00.5+02:00",
        "tz_offset_min": 120,
        "user_id": "u-1",
        "anonymous_id": "a-1",
        "user_key": "u:u-1",
        "identity_status": "resolved",
        "session_id": "s-1",
        "page_url": "https://shop.example.com/cart?utm_source=news",
        "page_path": "/cart",
        "referrer": "https://t.co/x",
        "referrer_medium": "social",
        "utm_source": "news",
        "revenue": "12.5000",
        "currency": "EUR",
        "properties": event["properties"],
        "context": event["context"],
        "schema_version": 1,
        "rules_version": 1,
        "src_partition": 3,
        "src_offset": 7,
    }


@pytest.mark.parametrize(
    ("event", "event_type", "name"),
    [
        ({"name": "a"}, "track", "a"),
        ({"event": "a"}, "track", "a"),
        ({"type": "track", "event": "a"}, "track", "a"),
        ({"type": "page"}, "page", None),
        ({"type": "page", "name": "Home"}, "page", "Home"),
        ({"type": "custom"}, "custom", None),
        ({"type": "identify", "name": ""}, "identify", None),
    ],
)
def test_types_and_names(event: dict[str, Any], event_type: str, name: str | None) -> None:
    parsed = parsed_of(event, NATIVE)
    assert (parsed.event_type, parsed.event_name) == (event_type, name)


@pytest.mark.parametrize(
    ("event", "reason", "detail"),
    [
        (b"", "invalid_json", "truncated"),
        (b"{", "invalid_json", "truncated"),
        (b'{"name":"a"} x', "invalid_json", "trailing"),
        (b'{"name":"a","properties":{"x":NaN}}', "invalid_json", "invalid"),
        (b'{"name":"a","properties":{"x":Infinity}}', "invalid_json", "invalid"),
        (b'{"name":"a","properties":{"x":01}}', "invalid_json", "invalid number"),
        (b'{"name":"a","properties":{"x":"\x01"}}', "invalid_json", "invalid character"),
        (b'{"name":"a\x00"}', "invalid_json", "invalid character"),
        (b'{"name":"a","unknown":1,"properties":{]}', "invalid_json", ""),
        (b"[1]", "not_an_object", ""),
        (b'"text"', "not_an_object", ""),
        (b"null", "not_an_object", ""),
        (b"1", "not_an_object", ""),
        (b'{"name":"\xff"}', "invalid_utf8", "byte 9"),
        (rb'{"name":"a","properties":{"x":"\u0000"}}', "nul_character", "u0000"),
        (rb'{"name":"a","properties":{"x":"\ud800"}}', "lone_surrogate", "ud800"),
        ({}, "missing_field", "type"),
        ({"user_id": "u"}, "missing_field", "type"),
        ({"type": "track"}, "missing_field", "name"),
        ({"name": ""}, "missing_field", "type"),
        ({"type": "purchase"}, "unknown_event_type", "'purchase'"),
        ({"type": "Track", "name": "a"}, "unknown_event_type", "'Track'"),
        ({"type": 1}, "wrong_type", "type: "),
        ({"name": 1}, "wrong_type", "name: "),
        ({"name": "a", "user_id": True}, "wrong_type", "user_id: "),
        ({"name": "a", "user_id": {"id": 1}}, "wrong_type", "user_id: "),
        ({"name": "a", "anonymous_id": []}, "wrong_type", "anonymous_id: "),
        ({"name": "a", "time": {}}, "wrong_type", "time: "),
        ({"name": "a", "time": True}, "wrong_type", "time: "),
        (b'{"name":"a","time":1e400}', "wrong_type", "time: "),
        ({"name": "a", "properties": []}, "wrong_type", "properties: "),
        ({"name": "a", "properties": "x"}, "wrong_type", "properties: "),
        ({"name": "a", "context": 1}, "wrong_type", "context: "),
        ({"name": "a", "time": "soon"}, "invalid_time", "'soon'"),
        ({"name": "a", "user_id": "x" * 511}, "value_too_long", "user_key: 513"),
        ({"name": "a", "user_id": "ü" * 256}, "value_too_long", "user_key: 514"),
        ({"name": "a", "anonymous_id": "x" * 513}, "value_too_long", "anonymous_id: 513"),
        ({"name": "x" * 513}, "value_too_long", "event_name: 513"),
        ({"name": "a", "id": "x" * 513}, "value_too_long", "event_id: 513"),
        ({"name": "a", "session_id": "x" * 513}, "value_too_long", "session_id: 513"),
    ],
)
def test_defective_events_say_why(event: object, reason: str, detail: str) -> None:
    found = reason_of(event, NATIVE)
    assert found[0] == reason
    assert detail in found[1]


def test_text_that_just_fits_its_column() -> None:
    assert reason_of({"name": "x" * 512, "user_id": "x" * 510, "id": "x" * 512}, NATIVE) == ("", "")
    assert reason_of({"name": "ü" * 256, "anonymous_id": "😀" * 127}, NATIVE) == ("", "")


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (b"42", "42"),
        (b"-0", "0"),
        (b"17850.0", "17850.0"),
        (b"1e5", "1e5"),
        (b"123456789012345678901234567890123", "123456789012345678901234567890123"),
        (b'"42"', "42"),
        (b'" u "', " u "),
        (b'"\\u0041"', "A"),
    ],
)
def test_numbers_are_ids_as_written(token: bytes, text: str) -> None:
    assert parsed_of(b'{"name":"a","user_id":' + token + b"}", NATIVE).user_id == text


@pytest.mark.parametrize(
    "blank", ["", " ", "\t\n", " " * 40, "null", "NULL", "undefined", "None", "nan", "NaN", "(null)"]
)
def test_what_stands_for_no_id_is_none_and_stays_visible(blank: str) -> None:
    event = {"name": "a", "user_id": blank, "anonymous_id": "a-1", "id": blank, "session_id": blank}
    row = row_of(event, NATIVE)
    assert "user_id" not in row
    assert "session_id" not in row
    assert (row["user_key"], row["identity_status"], row["id_source"]) == ("a:a-1", "anonymous", "server")
    assert row["context"] == {"$event": {"id": blank, "user_id": blank, "session_id": blank}}


def test_without_any_id_an_event_counts_for_itself() -> None:
    row = row_of({"name": "a", "id": "e-1"}, NATIVE)
    assert (row["user_key"], row["identity_status"]) == ("e:e-1", "unresolved")


def test_unknown_fields_are_kept_beside_the_context() -> None:
    event = {"name": "a", "event": "b", "plan": {"tier": 2}, "flag": None, "context": {"$event": 1, "x": 2}}
    assert row_of(event, NATIVE)["context"] == {
        "$event": {"plan": {"tier": 2}, "flag": None, "event": "b", "$event": 1},
        "x": 2,
    }


def test_huge_numbers_stay_as_they_are() -> None:
    big = b'{"n":123456789012345678901234567890,"f":1e400,"d":0.1000}'
    assert bytes(parsed_of(b'{"name":"a","properties":' + big + b"}", NATIVE).properties) == big
    assert reason_of(b'{"name":"a","properties":' + big + b"}", NATIVE) == ("", "")


def test_of_repeated_names_the_last_counts() -> None:
    assert parsed_of(b'{"name":"a","name":"b"}', NATIVE).event_name == "b"
    assert parsed_of(b'{"name":"a","name":"b","x":1}', NATIVE).event_name == "b"


def test_null_fields_are_absent_fields() -> None:
    fields = ("id", "type", "event", "time", "sent_at", "user_id", "session_id", "properties", "context")
    nulls: dict[str, object] = dict.fromkeys(fields)
    assert parsed_of({"name": "a", **nulls}, NATIVE) == parsed_of({"name": "a"}, NATIVE)


def test_same_event_sent_again_is_the_same_event() -> None:
    event = {"name": "a", "time": "2026-09-21T14:00:00Z", "user_id": "u", "properties": {"x": 1}}
    first = identity_of({**event, "sent_at": "2026-09-21T14:00:01Z"}, NATIVE)
    again = identity_of(
        {**event, "sent_at": "2026-09-21T15:00:01Z", "context": {"retry": 1}, "extra": 1},
        request("native", request_id="req-2", received_at=NATIVE.received_at + 3_600_000, ip="192.0.2.1"),
        index=9,
    )
    assert first.id_source == "derived"
    assert (first.event_id, first.dedup_id, first.fingerprint) == (
        again.event_id,
        again.dedup_id,
        again.fingerprint,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"type": "custom"},
        {"time": "2026-09-21T14:00:01Z"},
        {"user_id": "v"},
        {"anonymous_id": "a"},
        {"group_id": "g"},
        {"previous_id": "p"},
        {"properties": {"x": 2}},
    ],
)
def test_other_content_is_another_fingerprint(change: dict[str, Any]) -> None:
    event = {"name": "a", "time": "2026-09-21T14:00:00Z", "user_id": "u", "properties": {"x": 1}}
    assert identity_of({**event, **change}, NATIVE).fingerprint != identity_of(event, NATIVE).fingerprint
