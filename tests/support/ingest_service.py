"""Runs the ingest service as a process on a real broker, and reads what it wrote."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.support.log import read_all

from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_core.write_keys import key_entry
from headrace_local.installation import create_topics
from headrace_local.ports import LOOPBACK, choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.ports_log import Record, TopicPartition

__all__ = ["BODY_DEADLINE_S", "KEY", "PARTITIONS", "SOURCE", "IngestService", "ingest_service", "until"]

KEY = "wk-integration"
SOURCE = "web"
PARTITIONS = 12
BODY_DEADLINE_S = 1.5
_LOG_DEADLINE_S = 20.0


@dataclass
class IngestService:
    """A service process and the broker behind it."""

    process: ServiceProcess
    port: int
    bootstrap: str
    folder: Path

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return self.process.log_path.read_text(encoding="utf-8", errors="replace")

    def client(self, *, key: str = KEY, timeout_s: float = 15.0) -> httpx.AsyncClient:
        """A client that is one sender."""
        return httpx.AsyncClient(base_url=self.url, auth=(key, ""), timeout=timeout_s)

    async def records(self, topic: str = EVENTS_RAW.name) -> dict[TopicPartition, list[Record]]:
        """All records of a topic."""
        reader = KafkaLogReader(KafkaConnection(self.bootstrap))
        await reader.start(deadline_s=_LOG_DEADLINE_S)
        try:
            return await read_all(reader, [TopicPartition(topic, number) for number in range(PARTITIONS)])
        finally:
            await reader.stop(deadline_s=2.0)

    async def values(self, topic: str = EVENTS_RAW.name) -> list[bytes]:
        """The values of all records of a topic."""
        found = await self.records(topic)
        return [record.value or b"" for records in found.values() for record in records]

    async def quarantined(self) -> list[Record]:
        """All records of events.quarantine."""
        found = await self.records(EVENTS_QUARANTINE.name)
        return [record for records in found.values() for record in records]

    async def metric(self, line_start: str) -> float:
        """The value of the first metric line that starts so; 0 where there is none."""
        async with self.client() as client:
            text = (await client.get("/metrics")).text
        found = [line for line in text.splitlines() if line.startswith(line_start)]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    async def until_metric(self, line_start: str, value: float) -> None:
        """Wait until a metric has a value; TimeoutError where it does not get it."""
        async with asyncio.timeout(20):
            while await self.metric(line_start) != value:  # noqa: ASYNC110  (another process tells only when asked)
                await asyncio.sleep(0.05)

    async def status(self, path: str) -> int:
        """The status of a GET, 0 where nothing listens."""
        try:
            async with self.client(timeout_s=5.0) as client:
                return (await client.get(path)).status_code
        except httpx.TransportError:
            return 0


@asynccontextmanager
async def ingest_service(
    stack: LocalStack, *, wait_ready: bool = True, **settings: object
) -> AsyncIterator[IngestService]:
    """A running service; ``settings`` are HEADRACE_… variables in lower case. Its topics are created first, while Kafka runs."""
    bootstrap = stack.endpoints.kafka_bootstrap
    if wait_ready:
        await create_topics(bootstrap, PARTITIONS, 1)
    folder = Path(tempfile.mkdtemp(prefix="headrace-ingest-"))
    entry = key_entry(KEY)
    keys = {"version": 1, "sources": [{"source": SOURCE, "keys": [{"id": entry.id, "hash": entry.hash}]}]}
    (folder / "keys.yaml").write_text(json.dumps(keys), encoding="utf-8")
    port = choose_ports(["ingest"])["ingest"]
    given = {
        "kafka_bootstrap": bootstrap,
        "partitions": PARTITIONS,
        "http_port": port,
        "write_keys_file": folder / "keys.yaml",
        "body_deadline_s": BODY_DEADLINE_S,
        "shutdown_grace_s": 10,
        **settings,
    }
    made = IngestService(
        ServiceProcess(
            "ingest",
            [sys.executable, "-m", "headrace_ingest"],
            {f"HEADRACE_{name.upper()}": str(value) for name, value in given.items()},
            folder / "ingest.log",
            ready=None,
        ),
        port,
        bootstrap,
        folder,
    )
    await made.process.start()
    try:
        if wait_ready:
            await until(made, "/readyz", 200)
        yield made
    finally:
        await made.process.stop()
        shutil.rmtree(folder)


async def until(service: IngestService, path: str, status: int, *, within_s: float = 40.0) -> None:
    """Wait for a status; TimeoutError with the end of the log where it does not come."""
    try:
        async with asyncio.timeout(within_s):
            while await service.status(path) != status:  # noqa: ASYNC110  (another process tells only when asked)
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        raise TimeoutError(f"{path} did not become {status}: {service.log[-2000:]}") from error
