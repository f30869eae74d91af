"""The Lambda handlers under the official runtime client, with the real S3 server and the real ingest service."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from tests.support.lambda_runtime import running_function

from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_local.installation import create_topics
from headrace_local.keys import LocalKeys
from headrace_local.ports import choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.ports_log import TopicPartition

pytest.importorskip("awslambdaric", reason="the runtime client has no wheel for this Python")

_MAPPING = """
name: orders
version: 1
source: shop
id: "{_file}#{_row}"
time: {field: at}
fields: {user_id: who}
constants: {event_type: track, event_name: Order}
"""
_PARTITIONS = 2


@dataclass(slots=True)
class _Target:
    """An ingest service on a stack of its own, and the environment of a function that sends to it."""

    stack: LocalStack
    ingest: ServiceProcess
    environment: dict[str, str]

    async def keys_and_values(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """All records of a topic."""
        reader = KafkaLogReader(KafkaConnection(self.stack.endpoints.kafka_bootstrap))
        await reader.start()
        try:
            tps = [TopicPartition(topic, p) for p in range(_PARTITIONS)]
            ends = await reader.end_offsets(tps, deadline_s=10)
            reader.assign(dict.fromkeys(tps, 0))
            records: list[tuple[bytes | None, bytes | None]] = []
            while any(reader.position(tp) < end for tp, end in ends.items()):
                for found in (await reader.fetch(max_wait_s=2)).values():
                    records += [(record.key, record.value) for record in found.records]
            return records
        finally:
            await reader.stop()


@pytest.fixture
async def target(fresh_stack: LocalStack, stack_folder: Path) -> AsyncIterator[_Target]:
    """Ingest up, with the mapping deployed."""
    await create_topics(fresh_stack.endpoints.kafka_bootstrap, _PARTITIONS, 1)
    mappings = stack_folder / "mappings"
    mappings.mkdir()
    (mappings / "orders.yaml").write_text(_MAPPING)
    keys = LocalKeys(stack_folder)
    key, _ = keys.ensure("shop")
    port = choose_ports(["ingest"])["ingest"]
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        async with httpx.AsyncClient(timeout=2) as client:
            try:
                return (await client.get(f"{url}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

    environment = {
        **fresh_stack.environment(),
        "HEADRACE_PARTITIONS": str(_PARTITIONS),
        "HEADRACE_WRITE_KEYS_FILE": str(keys.hashes),
        "HEADRACE_MAPPINGS_DIR": str(mappings),
        "HEADRACE_HTTP_PORT": str(port),
    }
    argv = [sys.executable, "-m", "headrace_ingest"]
    ingest = ServiceProcess("ingest", argv, environment, stack_folder / "ingest.log", ready=ready)
    await ingest.start()
    endpoints = fresh_stack.endpoints
    function = {
        "HEADRACE_INGEST_URL": url,
        "HEADRACE_WRITE_KEY": key,
        "HEADRACE_MAPPING_FILE": str(mappings / "orders.yaml"),
        "HEADRACE_S3_ENDPOINT": endpoints.s3_endpoint,
        "AWS_ACCESS_KEY_ID": endpoints.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": endpoints.s3_secret_key,
        "AWS_DEFAULT_REGION": endpoints.s3_region,
    }
    yield _Target(fresh_stack, ingest, function)
    await ingest.stop()


def _put(stack: LocalStack, key: str, body: bytes) -> dict[str, Any]:
    """Put an object; the notification that S3 sends."""
    endpoints = stack.endpoints
    client = boto3.client(
        "s3",
        endpoint_url=endpoints.s3_endpoint,
        aws_access_key_id=endpoints.s3_access_key,
        aws_secret_access_key=endpoints.s3_secret_key,
        region_name=endpoints.s3_region,
    )
    client.put_object(Bucket=endpoints.s3_bucket, Key=key, Body=body)
    client.close()
    record = {"s3": {"bucket": {"name": endpoints.s3_bucket}, "object": {"key": key.replace(" ", "+")}}}
    return {"Records": [{"eventName": "ObjectCreated:Put", **record}]}


async def test_a_new_object_becomes_events_and_a_repeated_notification_the_same_ones(
    target: _Target, tmp_path: Path
) -> None:
    rows = [f"{n},2026-11-0{n % 9 + 1}T10:00:00Z,customer {n % 3}" for n in range(1200)]
    notification = _put(
        target.stack, "in/day one.csv.gz", gzip.compress("\n".join(["n,at,who", *rows]).encode())
    )
    with running_function(
        "headrace_lambda.handlers.object_created", target.environment, tmp_path / "log"
    ) as function:
        first = function.invoke(notification)
        second = function.invoke(notification)
    assert first == second == {"lake/in/day one.csv.gz": {"rows": 1200, "rejected": {}}}
    records = await target.keys_and_values(EVENTS_RAW.name)
    assert len(records) == 2400
    assert len({key for key, _ in records}) == 1200, "a row has the same id whenever it is sent"
    values = [json.loads(value or b"") for _, value in records]
    assert {
        "_file": "day one.csv",
        "_row": 1,
        "n": "0",
        "at": "2026-11-01T10:00:00Z",
        "who": "customer 0",
    } in values


async def test_rows_posted_to_the_function_url_get_receipts_and_bad_ones_do_no_harm(
    target: _Target, tmp_path: Path
) -> None:
    body = '{"n":1,"at":"2026-11-01T10:00:00Z","who":"a"}\n[not a row]\n{"n":2,"at":"2026-11-01T10:00:00Z","who":"b"}'
    event = {
        "headers": {"Content-Type": "application/x-ndjson"},
        "body": base64.b64encode(body.encode()).decode(),
        "isBase64Encoded": True,
    }
    with running_function(
        "headrace_lambda.handlers.rows_posted", target.environment, tmp_path / "log"
    ) as function:
        answer = function.invoke(event)
    assert answer["statusCode"] == 200
    told = json.loads(answer["body"])
    assert [receipt is None for receipt in told["receipts"]] == [False, True, False]
    assert sum(told["rejected"].values()) == 1
    assert len(await target.keys_and_values(EVENTS_RAW.name)) == 2
    ((_, bad),) = await target.keys_and_values(EVENTS_QUARANTINE.name)
    assert bad == b"[not a row]"


async def test_without_the_service_the_function_fails_in_time_so_that_its_trigger_repeats(
    target: _Target, tmp_path: Path
) -> None:
    notification = _put(target.stack, "in/rows.ndjson", b'{"n":1,"at":"2026-11-01T10:00:00Z","who":"a"}')
    await target.ingest.stop()
    with running_function(
        "headrace_lambda.handlers.object_created", target.environment, tmp_path / "log", timeout_s=6.0
    ) as function:
        kind, error = function.attempt(notification)
    assert kind == "error"
    assert error["errorType"] == "Unavailable"
    assert "the trigger repeats the event" in error["errorMessage"]
