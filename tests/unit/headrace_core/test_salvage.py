"""A body that the decoder refuses is still taken apart where brackets and strings match."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.dialects.body import BodyRejected
from headrace_core.dialects.native import split_body
from headrace_core.dialects.salvage import array_elements, object_members
from headrace_core.dialects.segment import split_batch

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

_BAD = [
    b'{"name":"x","properties":{"note":"\\ud83d alone"}}',
    b'{"name":"x","properties":{"n":01}}',
    b'{"name":"x","properties":{"n":NaN}}',
    b'{"name":"x","properties":{"note":"\\q"}}',
    b'{"name":"x","p":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"name":}',
    b"nonsense",
]


@given(st.lists(_VALUES, max_size=6), st.booleans())
def test_elements_are_those_of_the_array(values: list[Any], spaced: bool) -> None:
    text = json.dumps(values, separators=None if spaced else (",", ":")).encode()
    elements = array_elements(text)
    assert elements is not None
    assert [json.loads(element) for element in elements] == values


@given(
    st.dictionaries(
        st.text(alphabet=st.characters(exclude_characters='\\"'), max_size=5), _VALUES, max_size=5
    )
)
def test_members_are_those_of_the_object(members: dict[str, Any]) -> None:
    text = json.dumps(members, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = object_members(text)
    if not members:
        assert found is None or found == {}
        return
    assert found is not None
    assert [json.loads(value) for value in found.values()] == list(members.values())


@given(st.binary(max_size=60))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    array_elements(data)
    object_members(data)
    array_elements(b"[" + data + b"]")


@pytest.mark.parametrize(
    "text", [b"", b"[", b"]", b"[1,]", b"[,1]", b'["a]', b"[1}", b"[1]]", b"[[1]", b'[1] "x"']
)
def test_what_does_not_match_is_given_up(text: bytes) -> None:
    assert array_elements(text) is None


@pytest.mark.parametrize("bad", _BAD)
def test_a_bad_event_leaves_its_neighbours_of_a_native_array_alone(bad: bytes) -> None:
    good = [b'{"name":"a"}', b'{"name":"b","properties":{"s":"],[\\"}"}}']
    assert split_body(b"[" + good[0] + b" , " + bad + b"," + good[1] + b"]") == [good[0], bad, good[1]]


@pytest.mark.parametrize("bad", _BAD)
def test_a_bad_event_leaves_its_neighbours_of_a_segment_batch_alone(bad: bytes) -> None:
    good = b'{"type":"track","event":"a","userId":"1"}'
    body = b'{"sentAt":"2026-11-25T00:00:00Z","batch":[' + bad + b"," + good + b'],"writeKey":"k"}'
    batch = split_batch(body)
    assert (batch.events, batch.sent_at, batch.write_key) == ([bad, good], "2026-11-25T00:00:00Z", "k")


def test_a_batch_that_is_bad_outside_its_events_is_refused_whole() -> None:
    with pytest.raises(BodyRejected):
        split_batch(b'{"batch":[{"type":"track"}],"context":{"a":\\q}}')
