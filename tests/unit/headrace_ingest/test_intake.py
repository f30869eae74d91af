"""The request path on a log in memory: who is refused, what is kept, and that 200 needs every acknowledgement."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support.intake import KEY, PARTITIONS, IntakeWorld, basic, decoded, intake_world, key_file

from headrace_core.dialects import compile_mapping
from headrace_core.mapping import mapping_from
from headrace_core.meta import decode_meta, decode_note
from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_ingest.limits import UNDECODABLE_LIMIT_BYTES
from headrace_runtime.memory_log import AppendFault
from headrace_runtime.ports_log import TopicPartition
from headrace_runtime.telemetry import Telemetry

EVENT = b'{"type":"track","name":"E","id":"1"}'
SEGMENT_EVENT = b'{"type":"track","event":"E","messageId":"1"}'


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IntakeWorld]:
    async with intake_world(key_file(tmp_path)) as made:
        yield made


async def test_native_receipts_name_partition_and_offset(world: IntakeWorld) -> None:
    body = b"[" + EVENT + b',{"type":3},{"type":"track","name":"F","id":"2"}]'
    answer = await world.post("/v1/events", body)
    told = decoded(answer)
    assert answer.status == 200
    first, second, third = told["receipts"]
    assert second is None
    assert [rejected["index"] for rejected in told["rejected"]] == [1]
    for receipt, value in ((first, EVENT), (third, b'{"type":"track","name":"F","id":"2"}')):
        partition, offset = map(int, receipt.split("-"))
        stored = world.log.partition(TopicPartition(EVENTS_RAW.name, partition))
        assert stored is not None
        assert stored.records[offset].value == value
    assert told["request_id"] == answer.request_id


async def test_a_request_of_bad_events_only_is_understood(world: IntakeWorld) -> None:
    answer = await world.post("/v1/events", b'[{"type":3},5]')
    assert answer.status == 200
    assert decoded(answer)["receipts"] == [None, None]
    assert [record.value for record in world.quarantine] == [b'{"type":3}', b"5"] or len(
        world.quarantine
    ) == 2
    assert world.raw == []


async def test_an_empty_batch_is_fine(world: IntakeWorld) -> None:
    assert decoded(await world.post("/v1/events", b"[]"))["receipts"] == []
    assert decoded(await world.post("/v1/batch", b'{"batch":[]}')) == {"success": True}


async def test_ndjson(world: IntakeWorld) -> None:
    body = EVENT + b'\n{"type":\n' + EVENT.replace(b'"1"', b'"2"') + b"\n"
    answer = await world.post("/v1/events", body, {b"content-type": b"application/x-ndjson"})
    receipts = decoded(answer)["receipts"]
    assert receipts[1] is None
    assert len(receipts) == 3
    assert [record.value for record in world.quarantine] == [b'{"type":']


async def test_segment_batch_carries_context_and_sent_at(world: IntakeWorld) -> None:
    body = b'{"batch":[' + SEGMENT_EVENT + b'],"sentAt":"2026-01-01T00:00:00Z","context":{"a":1}}'
    answer = await world.post(
        "/v1/batch", body, {b"user-agent": b"analytics-python/2.4.0", b"x-retry-count": b"2"}
    )
    assert decoded(answer) == {"success": True}
    meta = decode_meta(dict(world.raw[0].headers)["m"])
    assert (meta.source, meta.dialect, meta.path) == ("web", "segment", "/v1/batch")
    assert (meta.sent_at, meta.retry_count, meta.ip) == ("2026-01-01T00:00:00Z", 2, "203.0.113.77")
    assert meta.user_agent == "analytics-python/2.4.0"
    assert bytes(meta.context or b"") == b'{"a":1}'
    assert meta.request_id == answer.request_id
    assert meta.traceparent is not None


@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group", "alias"])
async def test_segment_single_calls(world: IntakeWorld, kind: str) -> None:
    body = b'{"event":"E","name":"N","messageId":"1","userId":"u","groupId":"g","previousId":"p"}'
    assert (await world.post(f"/v1/{kind}", body)).status == 200
    assert [record.value for record in world.raw] == [body]


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": basic(KEY)},
        {b"authorization": b"basic " + base64.b64encode(KEY.encode())},
        {b"authorization": b"Bearer " + KEY.encode()},
        {b"x-write-key": KEY.encode()},
    ],
)
async def test_keys_in_headers(world: IntakeWorld, headers: dict[bytes, bytes]) -> None:
    assert (await world.post("/v1/events", EVENT, headers, key=None)).status == 200


async def test_key_in_a_segment_body(world: IntakeWorld) -> None:
    body = json.dumps({"batch": [json.loads(SEGMENT_EVENT)], "writeKey": KEY}).encode()
    assert (await world.post("/v1/batch", body, key=None)).status == 200
    single = json.dumps({**json.loads(SEGMENT_EVENT), "writeKey": KEY}).encode()
    assert (await world.post("/v1/track", single, key=None)).status == 200
    wrong = single.replace(KEY.encode(), b"nobody")
    assert decoded(await world.post("/v1/track", wrong, key=None))["code"] == "unknown_write_key"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/v1/events", 401, "unknown_write_key"), ("/v1/batch", 401, "unknown_write_key")],
)
async def test_unknown_key_is_refused_unread(world: IntakeWorld, path: str, status: int, code: str) -> None:
    answer = await world.post(path, b"\x1f\x8b broken", {b"content-encoding": b"gzip"}, key="nobody")
    assert (answer.status, decoded(answer)["code"]) == (status, code)
    assert world.raw == world.quarantine == []
    world.tally.flush()
    assert f'refused_requests_total{{code="{code}"}} 1.0' in world.telemetry.exposition().decode()


async def test_no_key_and_no_readable_body(world: IntakeWorld) -> None:
    assert decoded(await world.post("/v1/events", EVENT, key=None))["code"] == "missing_write_key"
    assert decoded(await world.post("/v1/batch", b"{", key=None))["code"] == "undecodable_body"
    assert world.quarantine == []


@pytest.mark.parametrize(
    "body", [b'{"batch":[', b"<xml/>", b"\xff\xfe", b"[" * 100_000, b'{"batch":5}', b"[1,2]", b'"x"']
)
async def test_an_undecodable_body_of_a_known_sender_is_kept_whole(world: IntakeWorld, body: bytes) -> None:
    answer = await world.post("/v1/batch", body)
    told = decoded(answer)
    assert (answer.status, told["code"]) == (400, "undecodable_body")
    assert told["message"]
    (record,) = world.quarantine
    assert record.value == body
    assert decode_note(dict(record.headers)["q"]).reason == "undecodable_body"
    assert world.raw == []


async def test_a_large_undecodable_body_is_not_kept(world: IntakeWorld) -> None:
    answer = await world.post("/v1/events", b"x" * (UNDECODABLE_LIMIT_BYTES + 1))
    assert (answer.status, answer.content_type) == (400, b"application/problem+json")
    assert world.quarantine == []


async def test_compressed_bodies(world: IntakeWorld) -> None:
    answer = await world.post("/v1/events", gzip.compress(EVENT), {b"content-encoding": b"GZIP"})
    assert answer.status == 200
    assert world.raw[0].value == EVENT
    broken = await world.post("/v1/batch", gzip.compress(EVENT)[:-4], {b"content-encoding": b"gzip"})
    assert decoded(broken)["code"] == "broken_compression"
    unknown = await world.post("/v1/batch", EVENT, {b"content-encoding": b"br"})
    assert (unknown.status, decoded(unknown)["code"]) == (400, "unsupported_encoding")
    assert world.quarantine == []


async def test_a_refused_append_is_never_200(world: IntakeWorld) -> None:
    plant(world, EVENTS_RAW.name, AppendFault(appended=False, answered=True))
    answer = await world.post("/v1/events", EVENT)
    assert (answer.status, decoded(answer)["code"], answer.retry_after_s) == (503, "not_appended", 2)
    assert (await world.post("/v1/events", EVENT)).status == 200, "a new producer took its place"


@pytest.mark.parametrize("appended", [True, False])
async def test_an_unknown_outcome_is_never_200(world: IntakeWorld, *, appended: bool) -> None:
    plant(world, EVENTS_RAW.name, AppendFault(appended=appended))
    answer = await world.post("/v1/batch", b'{"batch":[' + SEGMENT_EVENT + b"]}")
    told = decoded(answer)
    assert (answer.status, told["code"]) == (503, "outcome_unknown")
    assert told["message"]


async def test_good_events_wait_for_the_quarantine_of_bad_ones(world: IntakeWorld) -> None:
    plant(world, EVENTS_QUARANTINE.name, AppendFault(appended=False))
    answer = await world.post("/v1/events", b"[" + EVENT + b",5]")
    assert answer.status == 503
    assert len(world.raw) == 1


def plant(world: IntakeWorld, topic: str, fault: AppendFault) -> None:
    for partition in range(PARTITIONS):
        world.log.faults[TopicPartition(topic, partition)].append(fault)


async def test_admission_is_given_back(world: IntakeWorld) -> None:
    await world.post("/v1/events", EVENT)
    await world.post("/v1/events", b"{")
    await world.post("/v1/events", EVENT, key="nobody")
    await world.post("/v1/events", gzip.compress(EVENT), {b"content-encoding": b"gzip"})
    assert world.admission.bytes_in_flight == 0


async def test_past_the_limit_nothing_is_taken(tmp_path: Path) -> None:
    async with intake_world(key_file(tmp_path), limit_bytes=100_000) as world:
        world.admission.take(99_990)
        body = gzip.compress(b"[" + b",".join([EVENT] * 100) + b"]")
        world.admission.give_back(99_990 - len(body))
        world.admission.take(100_000 - 2 * len(body))
        answer = await world.post("/v1/events", body, {b"content-encoding": b"gzip"})
        assert (answer.status, decoded(answer)["code"]) == (503, "overloaded")
        assert answer.retry_after_s > 0
        assert world.raw == []


async def test_settings_of_the_source(tmp_path: Path) -> None:
    keys = key_file(
        tmp_path,
        "shop",
        naive_zone="Europe/Berlin",
        skew_correction=False,
        ip="truncated",
        dialects=["native"],
    )
    async with intake_world(keys) as world:
        await world.post("/v1/events", EVENT)
        meta = decode_meta(dict(world.raw[0].headers)["m"])
        assert (meta.source, meta.naive_zone, meta.skew_correction) == ("shop", "Europe/Berlin", False)
        assert meta.ip == "203.0.113.0"
        refused = await world.post("/v1/batch", b'{"batch":[]}')
        assert (refused.status, decoded(refused)["code"]) == (401, "dialect_not_allowed")


async def test_mapped_rows(tmp_path: Path) -> None:
    spec = mapping_from(
        {
            "name": "rows",
            "version": 1,
            "source": "web",
            "id": "{file}:{row}",
            "fields": {"user_id": "customer"},
            "constants": {"event_name": "Sold"},
        }
    )
    mapping = compile_mapping(spec)
    async with intake_world(key_file(tmp_path), mappings={mapping.key: mapping}) as world:
        rows = b'{"file":"a","row":1,"customer":"c"}\n{"file":"a"}\n'
        answer = await world.post("/v1/import/rows@1", rows)
        told = decoded(answer)
        assert [receipt is None for receipt in told["receipts"]] == [False, True]
        assert told["rejected"][0]["reason"] == "mapping_failed"
        assert decode_meta(dict(world.raw[0].headers)["m"]).mapping == "rows@1"
        unknown = await world.post("/v1/import/rows@2", rows)
        assert (unknown.status, decoded(unknown)["code"]) == (404, "unknown_mapping")
    async with intake_world(key_file(tmp_path, "other"), mappings={mapping.key: mapping}) as world:
        foreign = await world.post("/v1/import/rows@1", rows)
        assert (foreign.status, decoded(foreign)["code"]) == (403, "mapping_not_allowed")


async def test_closed_and_not_yet_open(world: IntakeWorld) -> None:
    sink = world.intake.close()
    assert sink is world.sink
    assert decoded(await world.post("/v1/events", EVENT))["code"] == "stopping"


async def test_one_span_per_request_and_its_traceparent(tmp_path: Path) -> None:
    spans = InMemorySpanExporter()
    telemetry = Telemetry("test", "test", spans)
    parent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    async with intake_world(key_file(tmp_path), telemetry=telemetry) as world:
        await world.post("/v1/events", EVENT, {b"traceparent": parent.encode()})
        meta = decode_meta(dict(world.raw[0].headers)["m"])
    (span,) = await asyncio.to_thread(_flushed, telemetry, spans)
    assert span.context is not None
    assert meta.traceparent == f"00-{'1' * 32}-{span.context.span_id:016x}-01"
    assert span.attributes == {"dialect": "native", "http.response.status_code": 200}


def _flushed(telemetry: Telemetry, spans: InMemorySpanExporter) -> tuple[ReadableSpan, ...]:
    telemetry.shutdown()
    return spans.get_finished_spans()


async def test_the_deadline_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with intake_world(key_file(tmp_path), deadline_s=0.2) as world:
        never: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(world.sink._raw, "add", lambda *_: never)
        answer = await world.post("/v1/events", EVENT)
        assert decoded(answer)["code"] == "outcome_unknown"
        never.set_result([0])
        await asyncio.sleep(0)
        assert world.admission.bytes_in_flight == 0
