"""The Segment dialect, in the shapes that its SDKs, RudderStack's and Jitsu's put on the wire."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import identity_of, parsed_of, reason_of, request, row_of

from headrace_core.dialects import BodyRejected
from headrace_core.dialects.segment import TYPE_OF_CALL, SegmentBatch, single, split_batch, type_of_path
from headrace_core.reasons import Reason

SEGMENT = request("segment")
TRACK: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m-1",
    "userId": "u-1",
    "timestamp": "2026-09-21T14:13:00.123Z",
    "properties": {"revenue": 9.5},
}


def test_a_batch_is_taken_apart_verbatim() -> None:
    body = (
        b' {"batch":[{"type" : "track"} , 7,"x"], "sentAt":"2026-09-21T14:13:20Z","writeKey":"K",'
        b'"context":{"ip": "192.0.2.1"}} '
    )
    assert split_batch(body) == SegmentBatch(
        events=[b'{"type" : "track"}', b"7", b'"x"'],
        sent_at="2026-09-21T14:13:20Z",
        context=b'{"ip": "192.0.2.1"}',
        write_key="K",
    )


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"batch":[]}', SegmentBatch(events=[])),
        (b'{"batch":[],"context":null,"integrations":{}}', SegmentBatch(events=[])),
        (b'{"batch":[],"context":{},"integrations":null}', SegmentBatch(events=[])),
        (b'{"batch":[],"timestamp":"t"}', SegmentBatch(events=[], sent_at="t")),
        (b'{"batch":[],"timestamp":"t","sentAt":"s"}', SegmentBatch(events=[], sent_at="s")),
        (b'{"batch":[],"sentAt":{},"timestamp":5}', SegmentBatch(events=[], sent_at=5)),
        (b'{"batch":[],"writeKey":5}', SegmentBatch(events=[])),
        (
            b'{"batch":[],"integrations":{"All":true},"debug":1}',
            SegmentBatch(events=[], context=b'{"$batch":{"integrations":{"All":true},"debug":1}}'),
        ),
        (
            b'{"batch":[],"context":{"a":1},"debug":1}',
            SegmentBatch(events=[], context=b'{"a":1,"$batch":{"debug":1}}'),
        ),
    ],
)
def test_what_a_batch_says_about_all_its_events(body: bytes, found: SegmentBatch) -> None:
    assert split_batch(body) == found


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.UNDECODABLE_BODY),
        (b'{"batch":[],"sentAt":NaN}', Reason.UNDECODABLE_BODY),
        (b'{"other":1,"batch":[}', Reason.UNDECODABLE_BODY),
        (b'{"batch":' + b"[" * 100_000, Reason.UNDECODABLE_BODY),
        (b'[{"type":"track"}', Reason.UNDECODABLE_BODY),
        (b'[{"type":"track"}]', Reason.WRONG_TYPE),
        (b'"batch"', Reason.WRONG_TYPE),
        (b'{"batch":{}}', Reason.WRONG_TYPE),
        (b'{"batch":null}', Reason.WRONG_TYPE),
        (b'{"batch":[],"context":[]}', Reason.WRONG_TYPE),
        (b'{"events":[]}', Reason.MISSING_FIELD),
    ],
)
def test_a_body_that_is_no_batch(body: bytes, reason: Reason) -> None:
    with pytest.raises(BodyRejected) as caught:
        split_batch(body)
    assert caught.value.reason is reason
    assert caught.value.is_undecodable is (reason is Reason.UNDECODABLE_BODY)


ELEMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
).map(msgspec.json.encode)


@given(st.lists(ELEMENT, max_size=5), st.sampled_from([b"", b',"extra":1']))
def test_splitting_a_batch_loses_no_byte(elements: list[bytes], extra: bytes) -> None:
    assert split_batch(b'{"batch":[' + b" ,\n".join(elements) + b"]" + extra + b"}").events == elements


def test_a_single_call_is_one_event() -> None:
    found = single(b' {"event":"a", "writeKey":"K"}\n', "track")
    assert found == SegmentBatch(events=[b'{"event":"a", "writeKey":"K"}'], write_key="K")


@pytest.mark.parametrize(
    ("body", "call", "reason"),
    [
        (b"{", "track", Reason.UNDECODABLE_BODY),
        (b"[1]", "track", Reason.WRONG_TYPE),
        (b"{}", "merge", Reason.UNKNOWN_EVENT_TYPE),
    ],
)
def test_a_body_that_is_no_single_call(body: bytes, call: str, reason: Reason) -> None:
    with pytest.raises(BodyRejected) as caught:
        single(body, call)
    assert caught.value.reason is reason


@pytest.mark.parametrize(("call", "event_type"), TYPE_OF_CALL.items())
def test_the_type_may_come_from_the_path(call: str, event_type: str) -> None:
    event = {"event": "a", "name": "a", "groupId": "g", "previousId": "p"}
    for path in (f"/v1/{call}", f"/v1/{call}/"):
        assert parsed_of(event, request("segment", path=path)).event_type == event_type


def test_the_type_of_the_event_comes_before_the_path() -> None:
    assert parsed_of({"type": "page"}, request("segment", path="/v1/track")).event_type == "page"
    assert type_of_path("/v1/batch") is None


def test_a_python_sdk_event() -> None:
    event = {
        "integrations": {},
        "anonymousId": None,
        "timestamp": "2026-09-21T14:13:19.940+00:00",
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
        "type": "identify",
        "userId": "u1",
        "traits": {"email": "a@b.c", "revenue": 1_000_000},
        "messageId": "d5ce1ac7",
    }
    row = row_of(event, SEGMENT)
    assert (row["event_id"], row["event_type"], row["user_key"]) == ("d5ce1ac7", "identify", "u:u1")
    assert row["properties"] == event["traits"]
    assert row["context"] == event["context"]
    assert row["event_ts"] == 1_789_999_999_940_000
    assert "revenue" not in row, "a trait of this name is the person's, not the event's"


def test_a_rudderstack_node_event() -> None:
    event = {
        "userId": "u1",
        "event": "Order Completed",
        "properties": {"revenue": 9.5},
        "type": "track",
        "context": {"library": {"name": "analytics-node"}, "sessionId": 1_790_000_000_123},
        "channel": "server",
        "_metadata": {"nodeVersion": "20.20.2"},
        "originalTimestamp": "2026-09-21T14:13:10.858Z",
        "messageId": "130f29a3",
        "sentAt": "2026-09-21T14:13:10.859Z",
    }
    row = row_of(event, SEGMENT)
    assert row["original_timestamp"] == "2026-09-21T14:13:10.858Z"
    assert row["session_id"] == "1790000000123"
    assert row["revenue"] == "9.5000"
    assert row["context"]["$event"] == {"channel": "server", "_metadata": {"nodeVersion": "20.20.2"}}


def test_a_jitsu_event_does_not_carry_its_credential_into_the_warehouse() -> None:
    event = {**TRACK, "writeKey": "K:secret", "context": {"traits": {}, "page": {}, "campaign": {}}}
    assert "secret" not in str(row_of(event, SEGMENT))


def test_original_timestamp_is_the_client_s_where_both_are_sent() -> None:
    event = {**TRACK, "timestamp": "2026-09-21T14:13:05Z", "originalTimestamp": "2026-09-21T14:13:01Z"}
    parsed = parsed_of(event, SEGMENT)
    assert parsed.time == "2026-09-21T14:13:01Z"
    assert msgspec.json.decode(parsed.context) == {"$event": {"timestamp": "2026-09-21T14:13:05Z"}}
    assert parsed_of({**TRACK, "originalTimestamp": ""}, SEGMENT).time == TRACK["timestamp"]


@pytest.mark.parametrize(
    ("fields", "properties", "extras"),
    [
        ({"type": "page", "properties": {"a": 1}}, {"a": 1}, {}),
        ({"type": "page", "traits": {"a": 1}}, {"a": 1}, {}),
        ({"type": "page", "properties": {"a": 1}, "traits": {"b": 2}}, {"a": 1}, {"traits": {"b": 2}}),
        (
            {"type": "identify", "properties": {"a": 1}, "traits": {"b": 2}},
            {"b": 2},
            {"properties": {"a": 1}},
        ),
        ({"type": "identify", "properties": {"a": 1}, "traits": {}}, {"a": 1}, {}),
        ({"type": "identify", "properties": {"a": 1}, "traits": None}, {"a": 1}, {}),
        ({"type": "group", "groupId": 5, "traits": {"b": 2}}, {"b": 2}, {"groupId": 5}),
        ({"type": "alias", "previousId": "p"}, {}, {"previousId": "p"}),
        ({"type": "page", "name": "Home", "event": "x"}, {}, {"event": "x"}),
        ({"type": "identify", "name": "x", "event": "y"}, {}, {"name": "x"}),
        ({"type": "page", "integrations": {"All": False}}, {}, {"integrations": {"All": False}}),
        ({"type": "page", "version": 2, "category": None}, {}, {"version": 2, "category": None}),
    ],
)
def test_nothing_is_dropped(
    fields: dict[str, Any], properties: dict[str, Any], extras: dict[str, Any]
) -> None:
    parsed = parsed_of(fields, SEGMENT)
    assert msgspec.json.decode(parsed.properties) == properties
    assert msgspec.json.decode(parsed.context) == ({"$event": extras} if extras else {})


def test_group_and_alias_carry_their_other_id() -> None:
    assert parsed_of({"type": "group", "groupId": 5}, SEGMENT).group_id == "5"
    alias = parsed_of({"type": "alias", "previousId": "a", "userId": "b"}, SEGMENT)
    assert (alias.previous_id, alias.user_id) == ("a", "b")


def test_the_batch_context_stands_under_the_event_s_own() -> None:
    meta = request(
        "segment",
        context=msgspec.Raw(b'{"ip":"192.0.2.1","page":{"url":"https://e.com/a"},"$batch":{"x":1}}'),
    )
    assert row_of(TRACK, meta)["context"] == {
        "ip": "192.0.2.1",
        "page": {"url": "https://e.com/a"},
        "$batch": {"x": 1},
    }
    row = row_of({**TRACK, "context": {"page": {"path": "/b"}}}, meta)
    assert row["context"]["page"] == {"path": "/b"}
    assert row["context"]["ip"] == "192.0.2.1"
    assert (row["page_path"], row.get("page_url")) == ("/b", None)


def test_a_request_context_that_is_none_is_the_record_s_fault() -> None:
    meta = request("segment", context=msgspec.Raw(b"[1]"))
    assert reason_of({**TRACK, "context": {"a": 1}}, meta)[0] == "unreadable_meta"
    assert reason_of(TRACK, meta)[0] == "unreadable_meta"


@pytest.mark.parametrize(
    ("event", "reason", "detail"),
    [
        ({}, "missing_field", "type"),
        ({"type": "track"}, "missing_field", "event"),
        ({"type": "track", "event": ""}, "missing_field", "event"),
        ({"type": "track", "name": "a"}, "missing_field", "event"),
        ({"type": "group"}, "missing_field", "groupId"),
        ({"type": "group", "groupId": "null"}, "missing_field", "groupId"),
        ({"type": "alias", "userId": "u"}, "missing_field", "previousId"),
        ({"type": "merge"}, "unknown_event_type", "'merge'"),
        ({"type": "custom"}, "unknown_event_type", "'custom'"),
        ({**TRACK, "event": 5}, "wrong_type", "event: "),
        ({**TRACK, "messageId": {}}, "wrong_type", "messageId: "),
        ({**TRACK, "userId": False}, "wrong_type", "userId: "),
        ({**TRACK, "timestamp": []}, "wrong_type", "timestamp: "),
        ({**TRACK, "sentAt": {}}, "wrong_type", "sentAt: "),
        ({**TRACK, "properties": "x"}, "wrong_type", "properties: "),
        ({"type": "identify", "traits": 1}, "wrong_type", "traits: "),
        ({**TRACK, "context": []}, "wrong_type", "context: "),
        ({**TRACK, "timestamp": "2026-99-01T00:00:00Z"}, "invalid_time", "no date"),
    ],
)
def test_defective_events_say_why(event: object, reason: str, detail: str) -> None:
    found = reason_of(event, SEGMENT)
    assert found[0] == reason
    assert detail in found[1]


def test_same_event_sent_again_is_the_same_event() -> None:
    first = identity_of({**TRACK, "sentAt": "2026-09-21T14:13:20Z", "integrations": {}}, SEGMENT)
    again = identity_of(
        {
            **TRACK,
            "sentAt": "2026-09-21T14:20:20Z",
            "context": {"x": 1},
            "channel": "server",
            "integrations": {"A": 1},
        },
        request("segment", request_id="req-2", retry_count=1, context=msgspec.Raw(b'{"ip":"192.0.2.1"}')),
        index=4,
    )
    assert first == again
    assert first.id_source == "client"


def test_without_id_a_timed_event_is_known_by_its_content_and_an_untimed_one_by_its_request() -> None:
    event = {name: value for name, value in TRACK.items() if name != "messageId"}
    assert identity_of(event, SEGMENT).id_source == "derived"
    assert identity_of(event, SEGMENT) == identity_of(
        {**event, "messageId": ""}, request("segment", request_id="other")
    )
    untimed = {**event, "timestamp": None}
    assert identity_of(untimed, SEGMENT, index=2).event_id == "req-1-2"


@pytest.mark.parametrize(
    "change",
    [
        {"event": "Other"},
        {"timestamp": "2026-09-21T14:13:00.124Z"},
        {"originalTimestamp": "2026-09-21T14:13:00.124Z"},
        {"userId": "u-2"},
        {"anonymousId": "a"},
        {"groupId": "g"},
        {"previousId": "p"},
        {"properties": {"revenue": 9.6}},
    ],
)
def test_other_content_is_another_fingerprint(change: dict[str, Any]) -> None:
    assert identity_of({**TRACK, **change}, SEGMENT).fingerprint != identity_of(TRACK, SEGMENT).fingerprint
