"""Rows: users, sessions, pages, campaigns and money."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import clean_of, parsed_of, reason_of, request, row_of

from headrace_core.amounts import decimal_text
from headrace_core.events import CleanEvent, encode_clean
from headrace_core.identify import identify
from headrace_core.normalise import normalise

META = request("native")


def _row(**event: Any) -> dict[str, Any]:
    return row_of({"name": "a", "id": "e-1", **event}, META)


@pytest.mark.parametrize(
    ("event", "key", "status"),
    [
        ({"user_id": "u", "anonymous_id": "a"}, "u:u", "resolved"),
        ({"user_id": 7}, "u:7", "resolved"),
        ({"anonymous_id": "a"}, "a:a", "anonymous"),
        ({"user_id": "undefined", "anonymous_id": "a"}, "a:a", "anonymous"),
        ({}, "e:e-1", "unresolved"),
        ({"user_id": " ", "anonymous_id": "None"}, "e:e-1", "unresolved"),
    ],
)
def test_who_a_row_counts_for(event: dict[str, Any], key: str, status: str) -> None:
    row = _row(**event)
    assert (row["user_key"], row["identity_status"]) == (key, status)
    assert "customer_id" not in row


def test_an_unresolved_key_that_does_not_fit_is_refused_with_its_event_id() -> None:
    assert reason_of({"name": "a", "id": "x" * 511}, META) == (
        "value_too_long",
        "user_key: 513 bytes; its column takes 512",
    )


@pytest.mark.parametrize(
    ("event", "session"),
    [
        ({"session_id": "s"}, "s"),
        ({"session_id": 12, "context": {"sessionId": "other"}}, "12"),
        ({"context": {"sessionId": 1_790_000_000_123}}, "1790000000123"),
        ({"context": {"session_id": "s"}}, "s"),
        ({"context": {"session": {"id": "s", "x": 1}}}, "s"),
        ({"context": {"session": {"id": 5}}}, "5"),
        ({"context": {"sessionId": "null"}}, None),
        ({"context": {"sessionId": ""}}, None),
        ({"context": {"sessionId": {"id": 1}}}, None),
        ({"context": {"session": "s"}}, None),
        ({}, None),
    ],
)
def test_sessions(event: dict[str, Any], session: str | None) -> None:
    assert _row(**event).get("session_id") == session


@pytest.mark.parametrize(
    ("event", "url", "path", "referrer"),
    [
        ({"context": {"page": {"url": "https://e.com/a?b"}}}, "https://e.com/a?b", "/a", None),
        (
            {"context": {"page": {"url": "https://e.com/a", "path": "/route"}}},
            "https://e.com/a",
            "/route",
            None,
        ),
        (
            {"type": "page", "properties": {"url": "https://e.com/a", "referrer": "r"}},
            "https://e.com/a",
            "/a",
            "r",
        ),
        ({"type": "screen", "properties": {"path": "settings"}}, None, "settings", None),
        (
            {
                "type": "page",
                "properties": {"url": "https://e.com/a"},
                "context": {"page": {"url": "https://e.com/b"}},
            },
            "https://e.com/b",
            "/b",
            None,
        ),
        # The url of a clicked link is not the page.
        (
            {"type": "track", "properties": {"url": "https://e.com/a", "path": "/a", "referrer": "r"}},
            None,
            None,
            None,
        ),
        ({"context": {"page": {"url": "", "path": "", "referrer": ""}}}, None, None, None),
        ({"context": {"page": {"url": 5, "path": "/a"}}}, None, "/a", None),
        ({"context": {"page": "home"}}, None, None, None),
        ({"context": {"page": None}}, None, None, None),
    ],
)
def test_pages(event: dict[str, Any], url: str | None, path: str | None, referrer: str | None) -> None:
    row = _row(**event)
    assert (row.get("page_url"), row.get("page_path"), row.get("referrer")) == (url, path, referrer)


@pytest.mark.parametrize(
    ("context", "campaign"),
    [
        ({"campaign": {"source": "s", "medium": "m", "name": "n", "term": "t"}}, ("s", "m", "n")),
        ({"campaign": {"source": "s"}, "page": {"url": "https://e.com/?utm_medium=x"}}, ("s", None, None)),
        ({"campaign": {}, "page": {"url": "https://e.com/?utm_medium=x"}}, (None, "x", None)),
        ({"campaign": "spring", "page": {"url": "https://e.com/?utm_medium=x"}}, (None, "x", None)),
        ({"campaign": {"source": 5, "medium": "m"}}, (None, "m", None)),
        ({"page": {"url": "https://e.com/?utm_source=a%00b&utm_medium=m"}}, (None, "m", None)),
        ({"page": {"url": "https://e.com/?utm_source=" + "x" * 513}}, (None, None, None)),
        ({"page": {"url": "https://e.com/?utm_source=" + "x" * 512}}, ("x" * 512, None, None)),
        ({"page": {"url": "https://e.com/?utm_source=" + "%C3%BC" * 257}}, (None, None, None)),
    ],
)
def test_campaigns(context: dict[str, Any], campaign: tuple[str | None, ...]) -> None:
    row = _row(context=context)
    assert tuple(row.get(f"utm_{name}") for name in ("source", "medium", "campaign")) == campaign
    assert row["context"] == context, "whatever did not fit a column is still there"


@pytest.mark.parametrize(
    ("event_type", "properties", "revenue", "currency"),
    [
        ("track", {"revenue": 9.5, "currency": "eur"}, "9.5000", "EUR"),
        ("custom", {"revenue": "12"}, "12.0000", None),
        ("page", {"revenue": 1}, "1.0000", None),
        ("track", {"revenue": "12 EUR"}, None, None),
        ("track", {"revenue": 0.1 + 0.2}, None, None),
        ("track", {"revenue": True, "currency": 5}, None, None),
        ("track", {"revenue": [1], "currency": "EURO"}, None, None),
        ("track", {"revenue": None, "currency": None}, None, None),
        ("identify", {"revenue": 5, "currency": "EUR"}, None, None),
        ("group", {"revenue": 5}, None, None),
    ],
)
def test_money(
    event_type: str, properties: dict[str, Any], revenue: str | None, currency: str | None
) -> None:
    row = _row(type=event_type, properties=properties)
    assert (row.get("revenue"), row.get("currency")) == (revenue, currency)
    assert row["properties"] == properties


def test_empty_objects_are_no_values() -> None:
    row = _row(properties={}, context={})
    assert "properties" not in row
    assert "context" not in row


def test_the_event_s_own_sent_time_comes_before_the_request_s() -> None:
    meta = request("native", sent_at="2026-09-21T10:00:00Z")
    event = {"name": "a", "time": "2026-09-21T09:00:00Z"}
    assert row_of(event, meta)["ts_quality"] == "skew_corrected"
    assert row_of({**event, "sent_at": "2026-09-21T14:13:00Z"}, meta)["ts_quality"] == "exact"


def test_ids_without_a_column_stay_in_the_row() -> None:
    row = _row(group_id=42, previous_id="p")
    assert row["context"]["$event"] == {"group_id": 42, "previous_id": "p"}


def test_a_time_longer_than_its_column_is_none() -> None:
    assert reason_of({"name": "a", "time": "2026-09-21T14:00:00Z" + " " * 60}, META)[0] == "invalid_time"


_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})([.][0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(number=_NUMBERS)
def test_a_revenue_is_its_own_digits_as_number_and_as_text(number: str) -> None:
    for written in (number, f'"{number}"'):
        value = b'{"name":"a","properties":{"revenue":%s,"currency":"EUR"}}' % written.encode()
        row = clean_of(value, META)
        assert (row.revenue, row.currency) == (decimal_text(number), "EUR")


def test_a_revenue_that_is_no_amount_hurts_nothing_else() -> None:
    for written in (b"1" * 400, b'{"a":%s}' % (b"1" * 400), b'[1e999,"x"]', b"true"):
        value = b'{"name":"a","properties":{"currency":"EUR","revenue":%s}}' % written
        row = clean_of(value, META)
        assert (row.revenue, row.currency) == (None, "EUR")


@pytest.mark.parametrize(
    "event",
    [
        b'{"name":"a","id":"e-1"}',
        (
            b'{"type":"page","id":"e-1","time":"2026-11-01T00:00:00.123+02:00","user_id":"u","session_id":"s",'
            b'"context":{"page":{"url":"https://a.example/p?utm_source=x","referrer":"https://b.example/"}},'
            b'"properties":{"revenue":1.5,"currency":"EUR"}}'
        ),
    ],
)
def test_a_row_is_the_event_of_its_values_by_name(event: bytes) -> None:
    parsed = parsed_of(event, META)
    row = normalise(parsed, identify(parsed, META, 0), META, src_partition=3, src_offset=4)
    by_name = CleanEvent(**{name: getattr(row, name) for name in CleanEvent.__struct_fields__})
    assert encode_clean(row) == encode_clean(by_name)
    assert (row.src_partition, row.src_offset) == (3, 4)
