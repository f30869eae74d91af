"""Write keys: what the file may say, and who is found by a key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.errors import ConfigurationError
from headrace_core.write_keys import KeyFile, KeyRing, SourceEntry, hash_key, key_entry, read_key_file

HASH = hash_key("k")


def document(**entry: Any) -> dict[str, Any]:
    return {"version": 1, "sources": [{"source": "web", "keys": [{"id": "1", "hash": HASH}], **entry}]}


def test_defaults() -> None:
    (entry,) = read_key_file(document()).sources
    assert (entry.naive_zone, entry.skew_correction, entry.ip, entry.dialects) == ("UTC", True, "full", None)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"version": 2, "sources": []},
        document(source="Not A Slug"),
        document(source=""),
        document(keys=[]),
        document(keys=[{"id": "1", "hash": "md5:00"}]),
        document(keys=[{"id": "1", "key": "plain"}]),
        document(ip="some"),
        document(unknown=1),
        {"version": 1, "sources": document()["sources"] * 2},
        {
            "version": 1,
            "sources": [*document()["sources"], {"source": "app", "keys": [{"id": "2", "hash": HASH}]}],
        },
    ],
)
def test_unusable_files(content: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_key_file(content)
    assert HASH.partition(":")[2] not in str(caught.value)


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=20, unique=True), st.booleans())
def test_every_key_finds_its_source_and_no_other(keys: list[str], peppered: bool) -> None:
    pepper = b"pepper" if peppered else None
    entries = [
        SourceEntry(source=f"s{number}", keys=[key_entry(key, pepper)]) for number, key in enumerate(keys)
    ]
    ring = KeyRing(KeyFile(version=1, sources=entries), b"pepper")
    for number, key in enumerate(keys):
        found = ring.find(key)
        assert found is not None
        assert found.source == f"s{number}"
    assert ring.find("".join(keys) + "!") is None
    assert ring.find("") is None


def test_hashes_are_no_keys() -> None:
    ring = KeyRing(read_key_file(document()))
    assert ring.find(HASH) is None
    assert ring.find(HASH.partition(":")[2]) is None
    assert ring.find("k" * 10_000) is None
    assert ring.find("\ud800") is None
