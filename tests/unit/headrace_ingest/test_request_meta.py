"""RequestMeta of a request, and the small pure parts beside it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_core.clock import ManualClock
from headrace_core.meta import META_LIMIT_BYTES, encode_meta
from headrace_core.write_keys import IpPolicy, SourceEntry, key_entry
from headrace_ingest.credentials import presented_key
from headrace_ingest.request_ids import RequestIds
from headrace_ingest.request_meta import (
    build_meta,
    client_address,
    kept_address,
    request_id,
    traceparent_of,
)
from headrace_ingest.routes import HOT_PATHS, route_of

ENTRY = SourceEntry(source="web", keys=[key_entry("k")])
IDENTIFIER = request_id(1_790_000_000_000, b"\x01" * 10)


def test_request_ids_sort_by_time() -> None:
    assert len(IDENTIFIER) == 32
    assert request_id(1, b"\xff" * 10) < request_id(2, b"\0" * 10)


def test_request_ids_are_all_different() -> None:
    ids = RequestIds(ManualClock())
    made = [ids.next() for _ in range(2_000)]
    assert len(set(made)) == len(made)
    assert {len(identifier) for identifier in made} == {32}
    assert len({identifier[:12] for identifier in made}) == 1


@pytest.mark.parametrize(
    ("address", "policy", "kept"),
    [
        ("203.0.113.77", "full", "203.0.113.77"),
        ("203.0.113.77", "truncated", "203.0.113.0"),
        ("2001:db8:1:2::3", "truncated", "2001:db8:1::"),
        ("203.0.113.77", "none", None),
        ("not an address", "full", None),
        (None, "full", None),
    ],
)
def test_kept_address(address: str | None, policy: IpPolicy, kept: str | None) -> None:
    assert kept_address(address, policy) == kept


@pytest.mark.parametrize(
    ("forwarded", "hops", "found"),
    [
        ("", 1, "10.0.0.1"),
        ("6.6.6.6, 1.2.3.4", 0, "10.0.0.1"),
        ("6.6.6.6, 1.2.3.4", 1, "1.2.3.4"),
        ("6.6.6.6, 1.2.3.4, 10.0.0.9", 2, "1.2.3.4"),
        ("1.2.3.4", 2, "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_who_sent(forwarded: str, hops: int, found: str) -> None:
    headers = {b"x-forwarded-for": forwarded.encode()} if forwarded else {}
    assert client_address("10.0.0.1", headers, hops) == found


@pytest.mark.parametrize(
    "given_value", [b"", b"nonsense", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"x" * 10_000]
)
def test_an_invalid_traceparent_is_replaced(given_value: bytes) -> None:
    made = traceparent_of({b"traceparent": given_value}, IDENTIFIER)
    assert made == f"00-{IDENTIFIER}-{IDENTIFIER[-16:]}-00"
    assert traceparent_of({b"traceparent": made.encode()}, "f" * 32) == made


@given(
    st.dictionaries(
        st.sampled_from([b"user-agent", b"x-retry-count", b"traceparent", b"x-forwarded-for"]),
        st.binary(max_size=20_000),
    ),
    st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_whatever_the_headers_say_meta_stays_small(
    headers: dict[bytes, bytes], sent_at: str | float | None
) -> None:
    meta = build_meta(
        HOT_PATHS["/v1/batch"],
        ENTRY,
        headers,
        address="203.0.113.77",
        received_at=1,
        identifier=IDENTIFIER,
        traceparent=traceparent_of(headers, IDENTIFIER),
        sent_at=sent_at,
    )
    assert len(encode_meta(meta)) < META_LIMIT_BYTES // 2


@given(st.dictionaries(st.sampled_from([b"authorization", b"x-write-key"]), st.binary(max_size=100)))
def test_any_credential_is_read_without_an_error(headers: dict[bytes, bytes]) -> None:
    found = presented_key(headers)
    assert found is None or found


def test_basic_comes_before_the_header() -> None:
    basic = b"Basic " + base64.b64encode(b"first:secret")
    assert presented_key({b"authorization": basic, b"x-write-key": b"second"}) == "first"
    assert presented_key({b"authorization": b"Basic !!!", b"x-write-key": b"second"}) == "second"


@pytest.mark.parametrize(
    "path", ["/v1/import/", "/v1/import/a/b", "/v1/import/" + "x" * 300, "/v1/event", "/"]
)
def test_paths_that_are_not_hot(path: str) -> None:
    assert route_of(path) is None


def test_hot_paths() -> None:
    imported = route_of("/v1/import/rows@3")
    assert imported is not None
    assert (imported.mapping, imported.dialect) == ("rows@3", "mapped")
    assert route_of("/v1/batch/") is HOT_PATHS["/v1/batch"]
