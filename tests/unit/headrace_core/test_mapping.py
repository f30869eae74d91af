"""Mapping files: what is accepted, what rows become, what a sample shows."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.support.rows import identity_of, parsed_of, reason_of, request, row_of

from headrace_core.coverage import coverage
from headrace_core.dialects import CompiledMapping, compile_mapping
from headrace_core.errors import BadData
from headrace_core.mapping import (
    MappingSpec,
    fill_template,
    json_schema,
    mapping_from,
    mapping_key,
    template_fields,
)
from headrace_core.meta import RequestMeta

ROOT = Path(__file__).parents[3]
MINIMAL: dict[str, Any] = {
    "name": "orders",
    "version": 1,
    "source": "shop",
    "constants": {"event_name": "Order"},
}


def _compiled(**changes: Any) -> tuple[RequestMeta, dict[str, CompiledMapping]]:
    compiled = compile_mapping(mapping_from({**MINIMAL, **changes}))
    return request("mapped", source="shop", mapping=compiled.key), {compiled.key: compiled}


def _shipped(name: str) -> MappingSpec:
    return mapping_from(yaml.safe_load((ROOT / "mappings" / name).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "Orders"}, "name"),
        ({"name": "a@1"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"source": ""}, "source"),
        ({"unknown": 1}, "unknown"),
        ({"zone": "Europe/Londn"}, "zone"),
        ({"id": "{a"}, "brace"),
        ({"id": "fixed"}, "names no field"),
        ({"time": {"format": "iso"}}, "either field or template"),
        ({"time": {"field": "a", "template": "{b}"}}, "either field or template"),
        ({"time": {"field": "a", "format": "%Q"}}, "time.format"),
        ({"time": {"field": "a", "format": "rfc2822"}}, "time.format"),
        ({"time": {"template": "{a"}}, "brace"),
        ({"fields": {"userid": "a"}}, "fields"),
        ({"fields": {"user_id": {"from": "a", "transform": ["trim"]}}}, "transform"),
        ({"fields": {"user_id": {"transform": ["strip"]}}}, "from"),
        ({"fields": {"user_id": ""}}, "fields"),
        ({"fields": {"event_name": "a"}}, "event_name"),
        ({"constants": {"event_name": ["a"]}}, "constants"),
        ({"constants": {"event_type": "purchase"}}, "event_type"),
        ({"constants": {"revenue": "much"}}, "revenue"),
    ],
)
def test_files_that_cannot_be_used_say_why(change: dict[str, Any], why: str) -> None:
    with pytest.raises(BadData, match=why):
        mapping_from({**MINIMAL, **change})


@pytest.mark.parametrize("document", [None, [], "text", {}])
def test_documents_that_are_no_mapping(document: object) -> None:
    with pytest.raises(BadData):
        mapping_from(document)


def test_templates() -> None:
    assert template_fields("{_file}#{_row}") == ("_file", "_row")
    assert fill_template("{{{a}}}-{b}", {"a": "1", "b": "2"}) == "{1}-2"


def test_the_schema_for_editors_is_fresh() -> None:
    written = msgspec.json.decode((ROOT / "docs" / "mapping.schema.json").read_bytes())
    fresh = msgspec.json.decode(msgspec.json.encode(json_schema()))
    assert written == fresh, "run: python -m tests.support.write_docs"


def test_a_row_becomes_an_event_and_keeps_what_no_rule_consumes() -> None:
    meta, mappings = _compiled(
        zone="Europe/Berlin",
        id="{shop}-{number}",
        time={"template": "{day} {clock}", "format": "%d.%m.%Y %H:%M"},
        fields={
            "user_id": {"from": "customer.id", "transform": ["integer_text"]},
            "anonymous_id": {"from": "mail", "transform": ["strip", "lower"]},
            "session_id": "visit",
            "event_name": {"from": "kind", "default": "Order"},
            "revenue": {"from": "total", "transform": ["strip"]},
            "page_url": "url",
            "properties.quantity": {"from": "qty", "transform": ["integer"]},
            "properties.price": {"from": "price", "transform": ["decimal"]},
            "properties.tags": "labels",
            "properties.origin": {"from": "origin", "transform": ["upper"], "default": "WEB"},
        },
        constants={"event_type": "custom", "currency": "eur", "properties.imported": True},
    )
    row = {
        "shop": "B1",
        "number": 17,
        "day": "01.07.2026",
        "clock": "12:30",
        "customer": {"id": "12.0", "tier": 1},
        "mail": " A@B.c ",
        "visit": 7,
        "kind": "",
        "total": " 12.50",
        "url": "https://e.com/a?utm_source=news",
        "qty": "007",
        "price": "1.10",
        "labels": ["x"],
        "note": None,
    }
    found = row_of(row, meta, mappings)
    assert found["event_id"] == "B1-17"
    assert found["original_timestamp"] == "01.07.2026 12:30"
    assert found["event_ts"] == 1_782_901_800_000_000
    assert (found["event_type"], found["event_name"], found["ts_quality"]) == (
        "custom",
        "Order",
        "zone_assumed",
    )
    assert (found["user_id"], found["anonymous_id"], found["session_id"]) == ("12", "a@b.c", "7")
    assert (found["revenue"], found["currency"]) == ("12.5000", "EUR")
    assert (found["page_url"], found["page_path"], found["utm_source"]) == (row["url"], "/a", "news")
    assert "context" not in found
    assert found["properties"] == {
        "shop": "B1",
        "number": 17,
        "day": "01.07.2026",
        "clock": "12:30",
        "customer": {"id": "12.0", "tier": 1},
        "note": None,
        "imported": True,
        "quantity": 7,
        "price": 1.1,
        "tags": ["x"],
        "origin": "WEB",
    }
    assert b'"price":1.10' in bytes(parsed_of(row, meta, mappings).properties), "digits stay as they are"


@pytest.mark.parametrize(
    ("fields", "row", "reason", "detail"),
    [
        (
            {"user_id": {"from": "a", "transform": ["integer_text"]}},
            {"a": "1.5"},
            "mapping_failed",
            "user_id from a",
        ),
        (
            {"user_id": {"from": "a", "transform": ["decimal"]}},
            {"a": "x"},
            "mapping_failed",
            "user_id from a",
        ),
        ({"user_id": "a"}, {"a": {"b": 1}}, "mapping_failed", "user_id from a"),
        ({"revenue": "a"}, {"a": "1.23456"}, "mapping_failed", "revenue"),
        ({"currency": "a"}, {"a": "EURO"}, "mapping_failed", "currency"),
        ({"properties.a": "b"}, {"a": 1, "b": 2}, "mapping_failed", "properties.a"),
        ({"event_type": "a"}, {"a": "sale"}, "unknown_event_type", "sale"),
        ({"user_id": "a"}, {"a": "x" * 600}, "value_too_long", "user_id: 600"),
    ],
)
def test_rows_that_a_mapping_cannot_read(
    fields: dict[str, Any], row: dict[str, Any], reason: str, detail: str
) -> None:
    meta, mappings = _compiled(fields=fields)
    found = reason_of(row, meta, mappings)
    assert found[0] == reason
    assert detail in found[1]


def test_an_id_of_missing_parts_is_no_id() -> None:
    meta, mappings = _compiled(id="{a}#{b}")
    assert reason_of({"a": "1", "b": ""}, meta, mappings) == (
        "mapping_failed",
        "id: the row has no value in b",
    )
    assert reason_of({"a": "1"}, meta, mappings)[0] == "mapping_failed"
    assert reason_of({"a": 0, "b": False}, meta, mappings) == ("", "")


def test_times_by_format() -> None:
    meta, mappings = _compiled(time={"field": "ts", "format": "epoch_ms"})
    assert row_of({"ts": 1_541_105_830_796}, meta, mappings)["event_ts"] == 1_541_105_830_796_000
    assert row_of({"ts": "1541105830796.5"}, meta, mappings)["event_ts"] == 1_541_105_830_796_500
    assert row_of({"ts": None}, meta, mappings)["ts_quality"] == "from_received"
    assert row_of({}, meta, mappings)["ts_quality"] == "from_received"
    assert reason_of({"ts": "soon"}, meta, mappings)[0] == "invalid_time"
    assert reason_of({"ts": [1]}, meta, mappings)[0] == "mapping_failed"


def test_a_mapping_without_zone_uses_the_source_s() -> None:
    meta, mappings = _compiled(time={"field": "ts"})
    there = request("mapped", source="shop", mapping=meta.mapping, naive_zone="Asia/Tokyo")
    row = {"ts": "2026-01-01 09:00:00"}
    assert (
        row_of(row, there, mappings)["event_ts"]
        == row_of(row, meta, mappings)["event_ts"] - 9 * 3_600_000_000
    )


def test_an_unknown_mapping_is_said_to_be_one() -> None:
    _, mappings = _compiled()
    assert reason_of({}, request("mapped", mapping="orders@2"), mappings) == (
        "mapping_failed",
        "there is no mapping 'orders@2' here",
    )
    assert reason_of({}, request("mapped"), mappings)[0] == "mapping_failed"


def test_what_the_sender_adds_is_no_content() -> None:
    meta, mappings = _compiled(time={"field": "ts"}, fields={"user_id": "u"})
    row = {"u": "1", "ts": "2026-01-01T00:00:00Z", "x": 1}
    first = identity_of({"_file": "a.csv", "_row": 1, **row}, meta, mappings)
    again = identity_of(
        {"_file": "b.csv", "_row": 9, **row},
        request("mapped", source="shop", mapping=meta.mapping, request_id="other"),
        mappings,
    )
    assert first == again
    assert first.id_source == "derived"
    for change in ({"u": "2"}, {"ts": "2026-01-01T00:00:01Z"}, {"x": 2}, {"y": 1}):
        assert identity_of({**row, **change}, meta, mappings).fingerprint != first.fingerprint
    kept, with_file = _compiled(fields={"properties.file": "_file"})
    assert row_of({"_file": "a.csv"}, kept, with_file)["properties"] == {"file": "a.csv"}


def test_coverage_of_a_sample() -> None:
    spec = mapping_from(
        {
            **MINIMAL,
            "id": "{_file}#{_row}",
            "time": {"field": "ts"},
            "fields": {
                "user_id": "u",
                "revenue": "total",
                "properties.city": "address.city",
                "session_id": "visit",
            },
        }
    )
    rows = [
        {
            "_file": "f",
            "_row": 1,
            "u": "1",
            "ts": "2026-01-01T00:00:00Z",
            "total": "1",
            "note": "",
            "address": {},
        },
        {"_file": "f", "_row": 2, "u": "", "ts": "2026-01-01T00:00:00Z", "total": "2", "note": "x"},
        {"_file": "f", "_row": 3, "u": "", "ts": "2026-01-01T00:00:00Z", "total": "dear"},
    ]
    found = coverage(spec, [*map(msgspec.json.encode, rows), b"not json"])
    assert [(field.field, field.rows, field.targets) for field in found.fields] == [
        ("u", 1, ("user_id",)),
        ("ts", 2, ("time",)),
        ("total", 2, ("revenue",)),
        ("note", 1, ()),
        ("address", 1, ("properties.city",)),
    ]
    assert found.mapped_share == pytest.approx(0.8)
    assert found.absent == ("visit",)
    assert [(failure.row, failure.reason) for failure in found.failures] == [
        (2, "mapping_failed"),
        (3, "invalid_json"),
    ]


def test_the_shipped_mapping_of_invoice_lines() -> None:
    spec = _shipped("online_retail.yaml")
    mappings = {mapping_key(spec): compile_mapping(spec)}
    meta = request("mapped", source=spec.source, mapping=mapping_key(spec))
    row = {
        "_file": "lines.csv",
        "_row": 3,
        "InvoiceNo": "C500",
        "Quantity": "-2",
        "InvoiceDate": "2011-07-01 08:26:00",
        "UnitPrice": "2.55",
        "CustomerID": "17850.0",
    }
    found = row_of(row, meta, mappings)
    assert (found["event_id"], found["event_name"], found["user_id"]) == (
        "lines.csv#3",
        "Invoice Line",
        "17850",
    )
    assert (found["event_ts"], found["ts_quality"]) == (1_309_505_160_000_000, "zone_assumed")
    assert found["properties"] == {"InvoiceNo": "C500", "Quantity": "-2", "UnitPrice": "2.55"}
    assert row_of({**row, "CustomerID": ""}, meta, mappings)["identity_status"] == "unresolved"


def test_the_shipped_mapping_of_the_music_service() -> None:
    spec = _shipped("sparkify.yaml")
    mappings = {mapping_key(spec): compile_mapping(spec)}
    meta = request("mapped", source=spec.source, mapping=mapping_key(spec))
    row = {
        "ts": 1_541_105_830_796,
        "userId": "39",
        "sessionId": 38,
        "page": "Home",
        "length": None,
        "song": "x",
    }
    found = row_of(row, meta, mappings)
    assert (found["id_source"], found["event_name"], found["session_id"]) == ("derived", "Home", "38")
    assert (found["event_ts"], found["ts_quality"]) == (1_541_105_830_796_000, "exact")
    assert found["properties"] == {"length": None, "song": "x"}
    assert row_of({**row, "userId": ""}, meta, mappings)["context"] == {"$event": {"userId": ""}}
