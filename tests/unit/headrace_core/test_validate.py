"""Bytes that no later step may see."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.parsed import Rejected
from headrace_core.reasons import Reason
from headrace_core.validate import DEPTH_LIMIT, EVENT_LIMIT_BYTES, check_bytes, is_too_deep


def _reason(value: bytes) -> Reason | None:
    try:
        check_bytes(value)
    except Rejected as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{}", None),
        (b'"' + b"x" * (EVENT_LIMIT_BYTES - 2) + b'"', None),
        (b'"' + b"x" * (EVENT_LIMIT_BYTES - 1) + b'"', Reason.EVENT_TOO_LARGE),
        ('"größe 日本 😀"'.encode(), None),
        (b'"\xff"', Reason.INVALID_UTF8),
        (b'"\xc3"', Reason.INVALID_UTF8),
        (b'"\xed\xa0\x80"', Reason.INVALID_UTF8),
        (b'"\xc0\x80"', Reason.INVALID_UTF8),
        (rb'"\u0000"', Reason.NUL_CHARACTER),
        (rb'"\\u0000"', None),
        (rb'"\\\u0000"', Reason.NUL_CHARACTER),
        (rb'"\\\\u0000"', None),
        (rb'"\n\\u0000"', None),
        (rb'"\u00001"', Reason.NUL_CHARACTER),
        (rb'"\u0001"', None),
        (rb'"\ud83d\ude00"', None),
        (rb'"\uD83D\uDE00"', None),
        (rb'"\ud83d"', Reason.LONE_SURROGATE),
        (rb'"\ude00"', Reason.LONE_SURROGATE),
        (rb'"\ude00\ud83d"', Reason.LONE_SURROGATE),
        (rb'"\ud83d\ud83d\ude00"', Reason.LONE_SURROGATE),
        (rb'"\ud83dx\ude00"', Reason.LONE_SURROGATE),
        (rb'"\\ud83d"', None),
        (rb'"\\\ud83d"', Reason.LONE_SURROGATE),
        (rb'"\ud83d\\ude00"', Reason.LONE_SURROGATE),
        (rb'"\ud7ff\ue000"', None),
    ],
)
def test_limits_encoding_and_characters(value: bytes, reason: Reason | None) -> None:
    assert _reason(value) is reason


def _nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (_nested(DEPTH_LIMIT), None),
        (_nested(DEPTH_LIMIT + 1), Reason.TOO_DEEP),
        (_nested(DEPTH_LIMIT + 1, b'{"a":[', b"]}"), Reason.TOO_DEEP),
        (_nested(DEPTH_LIMIT // 2, b'{"a":[', b"]}"), None),
        (_nested(100_000), Reason.TOO_DEEP),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b"[" + b",".join([b"{}"] * 500) + b"]", None),
        (b"[" + b"[]," * 500 + _nested(DEPTH_LIMIT) + b"]", Reason.TOO_DEEP),
        (b'{"a":"' + b"[" * 200 + b'"}', None),
        (rb'{"a":"\"' + b"[" * 200 + b'"}', None),
        (rb'{"a":"\\","b":' + _nested(70) + b"}", Reason.TOO_DEEP),
        (b'"' + b"[" * 200, None),
        (b'"' + rb"\"[" * 10_000, None),
        (b"]" * 200 + b"[" * 100, None),
    ],
)
def test_depth_counts_brackets_outside_strings(value: bytes, reason: Reason | None) -> None:
    assert _reason(value) is reason


NESTED = st.recursive(
    st.none() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(NESTED)
def test_depth_agrees_with_the_value(value: object) -> None:
    def depth(node: object) -> int:
        if isinstance(node, dict):
            return 1 + max(map(depth, node.values()), default=0)
        if isinstance(node, list):
            return 1 + max(map(depth, node), default=0)
        return 0

    text = json.dumps(value).encode()
    for extra in (DEPTH_LIMIT - depth(value), DEPTH_LIMIT - depth(value) + 1):
        wrapped = b"[" * extra + text + b"]" * extra
        assert is_too_deep(wrapped) is (depth(value) + extra > DEPTH_LIMIT)


@given(st.text())
def test_proper_text_passes_however_it_is_escaped(text: str) -> None:
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        return
    check_bytes(json.dumps(text).encode())
    check_bytes(json.dumps(text, ensure_ascii=False).encode())
