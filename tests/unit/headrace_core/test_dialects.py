"""Whatever the bytes are, an event is read or rejected with a reason; nothing else comes out."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.rows import RECEIVED_MS, request

from headrace_core.dialects import DIALECTS, BodyRejected, compile_mapping, native, parse, segment
from headrace_core.events import CleanEvent, columns_of, decode_clean, encode_clean
from headrace_core.identify import identify
from headrace_core.mapping import mapping_from
from headrace_core.normalise import normalise
from headrace_core.parsed import Rejected

_COMPILED = compile_mapping(
    mapping_from(
        {
            "name": "m",
            "version": 1,
            "source": "web",
            "time": {"field": "timestamp"},
            "fields": {
                "event_name": {"from": "event", "default": "Row"},
                "user_id": "userId",
                "revenue": "revenue",
                "properties.x": {"from": "a.b", "transform": ["strip"]},
            },
        }
    )
)
METAS = [request(dialect, mapping=_COMPILED.key, path="/v1/track") for dialect in sorted(DIALECTS)]

_NAMES = st.sampled_from(
    [
        *("type", "event", "name", "id", "messageId", "userId", "user_id", "anonymousId", "anonymous_id"),
        *(
            "groupId",
            "previousId",
            "time",
            "timestamp",
            "originalTimestamp",
            "sentAt",
            "sent_at",
            "session_id",
        ),
        *("properties", "traits", "context", "page", "url", "referrer", "campaign", "source", "revenue"),
        *("currency", "session", "sessionId", "integrations", "_metadata", "a", "b", "$event", "\u00fc"),
    ]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        [
            *(
                "track",
                "page",
                "identify",
                "group",
                "alias",
                "null",
                "2026-09-21T14:00:00Z",
                "2026-09-21",
                "12.5",
            ),
            *("https://e.com/a?utm_source=%00&utm_medium=x", "http://[::1", 10**40, 1e308, -0.0, "EUR"),
        ]
    )
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=12,
)
_EVENTS = st.dictionaries(_NAMES, _JSON, max_size=8).map(
    lambda event: {"event": "a", "type": "page", **event}
)


def _row(value: bytes, dialect: int) -> CleanEvent | None:
    meta = METAS[dialect]
    try:
        parsed = parse(value, meta, {_COMPILED.key: _COMPILED})
        return normalise(parsed, identify(parsed, meta, 0, None), meta, None, src_partition=0, src_offset=0)
    except Rejected:
        return None


@given(st.binary(max_size=200), st.integers(0, 2))
def test_arbitrary_bytes(value: bytes, dialect: int) -> None:
    _row(value, dialect)
    for split in (native.split_body, segment.split_batch):
        with contextlib.suppress(BodyRejected):
            split(value)


@settings(max_examples=150)
@given(_EVENTS, st.integers(0, 2))
@example({"type": "page", "properties": {"url": "https://e.com/?utm_source=%00"}}, 0)
def test_arbitrary_events_become_whole_rows(event: dict[str, Any], dialect: int) -> None:
    row = _row(msgspec.json.encode(event), dialect)
    if row is None:
        return
    again = decode_clean(encode_clean(row))
    for column in columns_of(CleanEvent):
        value = getattr(again, column.name)
        assert column.nullable or value is not None
        if column.kind == "text" and value is not None:
            assert "\0" not in value
            assert column.bytes > 512 or len(value.encode()) <= column.bytes
        if column.kind == "json" and value is not None:
            assert isinstance(msgspec.json.decode(value), dict)
    assert row.event_ts <= RECEIVED_MS * 1000 + 300_000_000


@settings(max_examples=40)
@given(_EVENTS, st.integers(0, 2))
def test_the_same_record_gives_the_same_row(event: dict[str, Any], dialect: int) -> None:
    value = msgspec.json.encode(event)
    assert _encoded(value, dialect) == _encoded(value, dialect)


def _encoded(value: bytes, dialect: int) -> bytes | None:
    row = _row(value, dialect)
    return None if row is None else encode_clean(row)


@settings(max_examples=60)
@given(_EVENTS, st.integers(1, 2))
def test_no_field_of_an_event_is_lost(event: dict[str, Any], dialect: int) -> None:
    """What a row keeps of an event, its own columns aside, is in properties or context."""
    row = _row(msgspec.json.encode({"zzz": [1], **event}), dialect)
    if row is not None:
        assert row.context is not None
        assert msgspec.json.decode(row.context)["$event"]["zzz"] == [1]


@settings(max_examples=100)
@given(_EVENTS, st.integers(1, 2))
def test_an_unknown_field_changes_nothing_but_the_context(event: dict[str, Any], dialect: int) -> None:
    """The fast reading of known shapes and the patient one of all others agree."""
    assert _columns({**event, "zzz": 1}, dialect) == _columns(event, dialect)


def _columns(event: dict[str, Any], dialect: int) -> dict[str, Any] | None:
    row = _row(msgspec.json.encode(event), dialect)
    if row is None:
        return None
    return {
        name: getattr(row, name) for name in row.__struct_fields__ if name not in ("context", "properties")
    }


def test_an_unknown_dialect() -> None:
    with pytest.raises(Rejected, match="unknown_dialect"):
        parse(b"{}", request("snowglobe"), {})


@pytest.mark.parametrize("depth", [65, 1_000, 40_000])
@pytest.mark.parametrize("dialect", range(3))
def test_nesting_bombs(depth: int, dialect: int) -> None:
    for bomb in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        with pytest.raises(Rejected, match="too_deep"):
            parse(b'{"event":"a","properties":' + bomb + b"}", METAS[dialect], {})


_SOUND = [
    b"{}",
    b' {"a" : [ ] } ',
    b'{"":0}',
    b'{"a":-0}',
    b'{"a":1E+2}',
    b'{"a":"\\u0022\\/\\b"}',
    b'{"a":"\x7f"}',
    b'{"a":"\xf4\x8f\xbf\xbf"}',
    b'{"a":[[],[[]]]}',
    b'{"a":1,"a":2}',
    b'{"a":"\\uD834\\uDD1E"}',
]
_BROKEN = [
    b"",
    b"{",
    b"}",
    b"{}{}",
    b"{},",
    b'{"a"}',
    b'{"a":}',
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a":1 "b":2}',
    b"{'a':1}",
    b"{a:1}",
    b'{"a":01}',
    b'{"a":+1}',
    b'{"a":.5}',
    b'{"a":5.}',
    b'{"a":1e}',
    b'{"a":0x1}',
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":tru}',
    b'{"a":TRUE}',
    b'{"a":"\t"}',
    b'{"a":"\\x41"}',
    b'{"a":"\\u00g1"}',
    b'{"a":"unterminated}',
    b'{"a":[1,]}',
    b'{"a":[1}',
    b'{"a":/**/1}',
    b"\xff\xfe{\x00}\x00",
    b'\xef\xbb\xbf{"a":1}',
]


@pytest.mark.parametrize("value", _SOUND)
def test_sound_json_stays_as_it_is(value: bytes) -> None:
    parsed = parse(b'{"event":"a","properties":' + value.strip() + b"}", METAS[2], {})
    assert bytes(parsed.properties) == value.strip()


@pytest.mark.parametrize("value", _BROKEN)
def test_broken_json_is_rejected_wherever_it_stands(value: bytes) -> None:
    for wrapped in (
        value,
        b'{"event":"a","properties":' + value + b"}",
        b'{"event":"a","unknown":' + value + b"}",
        b'{"event":"a","context":{"x":' + value + b"}}",
    ):
        with pytest.raises(Rejected):
            parse(wrapped, METAS[2], {})
