"""Kafka gone, brokers killed, the service stopped: nothing that was acknowledged is missing, and it says what is wrong."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import httpx
import pytest
from tests.support.ingest_service import PARTITIONS, IngestService, ingest_service, until

from headrace_core.errors import ExitCode
from headrace_local.installation import create_topics
from headrace_local.stack import LocalStack

pytestmark = pytest.mark.slow

_ACK_DEADLINE_S = 2.0
_EVENT = b'{"type":"track","name":"a"}'


class Senders:
    """Clients that send until they are told to stop; what was acknowledged, and every other answer by its code."""

    def __init__(self, service: IngestService, senders: int = 8) -> None:
        self.acknowledged: set[str] = set()
        self.answers: Counter[str] = Counter()
        self._service = service
        self._stop, self._progress = asyncio.Event(), asyncio.Event()
        self._tasks = [asyncio.create_task(self._send(number)) for number in range(senders)]

    async def _send(self, sender: int) -> None:
        async with self._service.client() as client:
            sent = 0
            while not self._stop.is_set():
                ids = [f"{sender}-{sent}-{number}" for number in range(20)]
                sent += 1
                await self._post(client, ids)

    async def _post(self, client: httpx.AsyncClient, ids: list[str]) -> None:
        events = [
            {"type": "track", "name": "E", "id": identifier, "properties": {"n": "x" * 300}}
            for identifier in ids
        ]
        try:
            answer = await client.post("/v1/events", content=json.dumps(events).encode())
        except httpx.TransportError:
            self.answers["no answer"] += 1
            await asyncio.sleep(0.05)
            return
        if answer.status_code == 200:
            assert None not in answer.json()["receipts"]
            self.acknowledged.update(ids)
            self._progress.set()
            self.answers["200"] += 1
        else:
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            self.answers[answer.json()["code"]] += 1

    async def past(self, acknowledged: int) -> None:
        """Wait until more events are acknowledged than these."""
        async with asyncio.timeout(20):
            while len(self.acknowledged) <= acknowledged:
                self._progress.clear()
                await self._progress.wait()

    async def stop(self) -> None:
        """Let every sender finish its request."""
        self._stop.set()
        await asyncio.gather(*self._tasks)


async def assert_nothing_lost(service: IngestService, acknowledged: set[str]) -> None:
    stored = {json.loads(value)["id"] for value in await service.values()}
    assert acknowledged
    assert acknowledged - stored == set()


async def test_a_broker_killed_under_load_loses_nothing(fresh_stack: LocalStack) -> None:
    broker = fresh_stack.servers["kafka-1"]
    async with ingest_service(fresh_stack, ack_deadline_s=_ACK_DEADLINE_S) as service:
        senders = Senders(service)
        for _ in range(3):
            await asyncio.sleep(1.5)
            before = len(senders.acknowledged)
            broker.kill()
            await asyncio.sleep(0.5)
            await broker.start()
            await until(service, "/readyz", 200)
            await senders.past(before)
        await asyncio.sleep(1.0)
        await senders.stop()
        await assert_nothing_lost(service, senders.acknowledged)
        assert "Traceback" not in service.log


async def test_a_long_outage_is_told_and_ends_by_itself(fresh_stack: LocalStack) -> None:
    broker = fresh_stack.servers["kafka-1"]
    async with (
        ingest_service(fresh_stack, ack_deadline_s=_ACK_DEADLINE_S) as service,
        service.client() as client,
    ):
        assert (await client.post("/v1/events", content=_EVENT)).status_code == 200
        broker.kill()
        first = await client.post("/v1/batch", content=b'{"batch":[{"type":"track","event":"a"}]}')
        assert first.status_code == 503
        assert first.json()["code"] in {"outcome_unknown", "not_appended"}
        await until(service, "/readyz", 503)
        readiness = (await client.get("/readyz")).json()
        (kafka,) = [component for component in readiness["components"] if component["name"] == "kafka"]
        assert not kafka["ok"]
        assert kafka["since"]
        assert kafka["reason"]
        assert (await client.get("/livez")).status_code == 200
        await asyncio.sleep(2 * _ACK_DEADLINE_S)
        refused = await client.post("/v1/events", content=_EVENT)
        assert refused.json()["code"] == "log_unavailable"
        await broker.start()
        await until(service, "/readyz", 200)
        # A broker that has just started may take longer than the deadline for its first append: unknown, so sent again.
        async with asyncio.timeout(60):
            while (await client.post("/v1/events", content=_EVENT)).status_code == 503:  # noqa: ASYNC110 - a server
                await asyncio.sleep(0.2)
        assert (await client.post("/v1/events", content=_EVENT)).status_code == 200


async def test_a_frozen_broker_is_an_unknown_outcome(fresh_stack: LocalStack) -> None:
    broker = fresh_stack.servers["kafka-1"]
    async with (
        ingest_service(fresh_stack, ack_deadline_s=_ACK_DEADLINE_S) as service,
        service.client() as client,
    ):
        event = b'{"type":"track","name":"a","id":"frozen"}'
        assert (await client.post("/v1/events", content=event)).status_code == 200
        broker.pause()
        try:
            answer = await client.post("/v1/events", content=event)
        finally:
            broker.resume()
        assert answer.status_code == 503
        assert answer.json()["code"] == "outcome_unknown"
        await until(service, "/readyz", 200)
        senders = Senders(service, senders=1)
        await senders.past(0)
        await senders.stop()


async def test_sigterm_drains(fresh_stack: LocalStack) -> None:
    async with ingest_service(fresh_stack) as service:
        senders = Senders(service)
        await asyncio.sleep(1.5)
        service.process._started().send_signal(signal.SIGTERM)
        code = await service.process.wait(within_s=15)
        await senders.stop()
        assert code == ExitCode.OK
        assert senders.answers["200"] > 0
        assert set(senders.answers) <= {"200", "no answer", "stopping"}
        assert '"requests_without_outcome": 0' in service.log
        await assert_nothing_lost(service, senders.acknowledged)


async def test_kill_9_of_the_service_loses_nothing_acknowledged(fresh_stack: LocalStack) -> None:
    async with ingest_service(fresh_stack) as service:
        senders = Senders(service)
        for _ in range(3):
            await asyncio.sleep(0.7)
            service.process.kill()
            await service.process.start()
            await until(service, "/readyz", 200)
        await senders.stop()
        assert senders.answers["no answer"] > 0
        await assert_nothing_lost(service, senders.acknowledged)


async def test_the_start_waits_for_kafka(fresh_stack: LocalStack) -> None:
    await create_topics(fresh_stack.endpoints.kafka_bootstrap, PARTITIONS, 1)
    broker = fresh_stack.servers["kafka-1"]
    await broker.stop()
    async with ingest_service(fresh_stack, wait_ready=False) as service:
        await until(service, "/readyz", 503)
        assert await service.status("/livez") == 200
        async with service.client() as client:
            answer = await client.post("/v1/events", content=b"[]")
            assert answer.json()["code"] == "log_unavailable"
        await broker.start()
        await until(service, "/readyz", 200)


@pytest.mark.parametrize(("partitions", "words"), [(6, "12 partitions instead of 6"), (12, "does not exist")])
async def test_other_topics_than_installed_stop_the_start(
    fresh_stack: LocalStack, partitions: int, words: str
) -> None:
    if words != "does not exist":
        await create_topics(fresh_stack.endpoints.kafka_bootstrap, PARTITIONS, 1)
    async with ingest_service(fresh_stack, wait_ready=False, partitions=partitions) as service:
        assert await service.process.wait(within_s=30) == ExitCode.CONFIGURATION
        assert words in service.log
        assert "HEADRACE_PARTITIONS" in service.log
