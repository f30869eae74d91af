"""The official Segment SDK, unmodified, and native senders, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from segment.analytics.client import Client
from tests.support.ingest_service import KEY, SOURCE, IngestService

from headrace_core.meta import decode_index, decode_meta
from headrace_core.topics import EVENTS_RAW
from headrace_runtime.ports_log import Record, TopicPartition

pytestmark = pytest.mark.xdist_group("ingest")


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def sdk(service: IngestService, request: pytest.FixtureRequest) -> Iterator[Client]:
    """An SDK client that fails the test on any error it reports."""
    errors: list[object] = []
    client = Client(
        KEY,
        host=service.url,
        gzip=request.param,
        max_retries=2,
        on_error=lambda error, items: errors.append((error, items)),
    )
    yield client
    client.shutdown()
    assert errors == []


async def by_message_id(service: IngestService) -> dict[str, list[tuple[dict[str, Any], Record]]]:
    """Records of Segment events by their message id."""
    found: dict[str, list[tuple[dict[str, Any], Record]]] = {}
    for records in (await service.records()).values():
        for record in records:
            event = json.loads(record.value or b"{}")
            found.setdefault(event.get("messageId", ""), []).append((event, record))
    return found


async def test_every_call_of_the_sdk_arrives(service: IngestService, sdk: Client) -> None:
    ids = [f"sdk-{sdk.gzip}-{number}" for number in range(250)]
    for number, message_id in enumerate(ids):
        match number % 5:
            case 0:
                sdk.track("user", "Bought", {"price": 1.5}, message_id=message_id)
            case 1:
                sdk.identify("user", {"plan": "pro"}, message_id=message_id)
            case 2:
                sdk.page("user", "Docs", "Start", message_id=message_id)
            case 3:
                sdk.group("user", "company", message_id=message_id)
            case _:
                sdk.alias("before", "user", message_id=message_id)
    sdk.flush()
    found = await by_message_id(service)
    assert {message_id: len(found.get(message_id, [])) for message_id in ids} == dict.fromkeys(ids, 1)
    event, record = found[ids[0]][0]
    assert event["properties"] == {"price": 1.5}
    headers = dict(record.headers)
    meta = decode_meta(headers["m"] or b"")
    assert (meta.source, meta.dialect, meta.path) == (SOURCE, "segment", "/v1/batch")
    assert meta.sent_at is not None
    assert decode_index(headers["i"] or b"") < 250


async def test_receipts_point_at_the_bytes(service: IngestService) -> None:
    events = [
        b'{"type":"track", "name":"R\xc3\xa9", "id":"receipt-%d", "properties":{"n":0.10}}' % number
        for number in range(300)
    ]
    events[7] = b'{"type":"nothing","id":"receipt-bad"}'
    async with service.client() as client:
        answer = await client.post("/v1/events", content=b"[" + b" ,\n".join(events) + b"]")
    receipts = answer.json()["receipts"]
    assert [index for index, receipt in enumerate(receipts) if receipt is None] == [7]
    records = await service.records()
    for event, receipt in zip(events, receipts, strict=True):
        if receipt is not None:
            partition, offset = map(int, receipt.split("-"))
            (record,) = [r for r in records[TopicPartition(EVENTS_RAW.name, partition)] if r.offset == offset]
            assert record.value == event
    kept = [record for record in await service.quarantined() if record.value == events[7]]
    assert len(kept) == 1
    assert decode_meta(dict(kept[0].headers)["m"] or b"").request_id == answer.json()["request_id"]


async def test_ndjson_and_single_events(service: IngestService) -> None:
    lines = [b'{"type":"page","name":"P","id":"line-%d"}' % number for number in range(50)]
    async with service.client() as client:
        answer = await client.post(
            "/v1/events", content=b"\n".join(lines), headers={"content-type": "application/x-ndjson"}
        )
        single = await client.post("/v1/events", content=b'{"type":"track","name":"no id"}')
    assert len(answer.json()["receipts"]) == 50
    assert single.json()["ids"][0]["id_source"] == "server"
    assert set(lines) <= set(await service.values())


async def test_metrics_count_what_was_answered(service: IngestService) -> None:
    accepted = 'headrace_ingest_events_total{dialect="native",outcome="accepted"}'
    quarantined = 'headrace_ingest_events_total{dialect="native",outcome="quarantined"}'
    refused = 'headrace_ingest_refused_requests_total{code="unknown_write_key"}'
    before = [await service.metric(name) for name in (accepted, quarantined, refused)]
    async with service.client() as client:
        await client.post("/v1/events", content=b'[{"type":"track","name":"a","id":"c1"},5,6]')
    async with service.client(key="nobody") as client:
        assert (await client.post("/v1/events", content=b"[]")).status_code == 401
    after = [await service.metric(name) for name in (accepted, quarantined, refused)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2, 1]


async def test_no_key_reaches_the_log(service: IngestService) -> None:
    async with service.client(key="planted-secret-key") as client:
        await client.post("/v1/events", content=b"{}")
        await client.post("/v1/batch", content=b'{"batch":[],"writeKey":"planted-secret-key"}')
        await client.post("/v1/nothing", content=b"{}")
    assert KEY not in service.log
    assert "planted-secret-key" not in service.log
