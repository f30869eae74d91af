"""The test stand: a real stack with the installation's topics, a process per side, and the feeding of topics."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from headrace_local.installation import create_topics
from headrace_local.ports import LOOPBACK, choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogReader, KafkaLogWriter
from headrace_runtime.ports_log import Batch, RecordHeaders, TopicPartition, TopicSpec

__all__ = ["PARTITIONS", "Feed", "Rows", "Stand", "is_listening", "stand", "until"]

PARTITIONS = 12
_BATCH_RECORDS = 500
_APPEND_DEADLINE_S = 60.0
_ASK_DEADLINE_S = 15.0
_POLL_S = 0.02
_READY_WITHIN_S = 60.0


@dataclass(slots=True)
class Rows:
    """Records of one partition, as parallel columns."""

    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[RecordHeaders]

    @classmethod
    def empty(cls) -> Rows:
        """No records."""
        return cls([], [], [])

    def batches(self) -> list[Batch]:
        """Batches of the size that ingest makes of steady traffic."""
        return [
            Batch(
                self.keys[at : at + _BATCH_RECORDS],
                self.values[at : at + _BATCH_RECORDS],
                self.headers[at : at + _BATCH_RECORDS],
            )
            for at in range(0, len(self.keys), _BATCH_RECORDS)
        ]


class Feed:
    """Appends prepared records to topics, and tells how many a topic holds. Its CPU time is no side's."""

    def __init__(self, writer: KafkaLogWriter, reader: KafkaLogReader) -> None:
        self._writer, self._reader = writer, reader
        self._held: defaultdict[str, int] = defaultdict(int)

    async def append(self, topic: str, partitions: Mapping[int, Rows]) -> None:
        """Append all records, the partitions side by side; returns when all are acknowledged."""

        async def one(partition: int, rows: Rows) -> None:
            for batch in rows.batches():
                await self._writer.append(
                    TopicPartition(topic, partition), batch, deadline_s=_APPEND_DEADLINE_S
                )

        await asyncio.gather(*(one(partition, rows) for partition, rows in partitions.items()))

    async def records(self, topic: str) -> int:
        """Records that the topic holds."""
        ends = await self._reader.end_offsets(
            [TopicPartition(topic, partition) for partition in range(PARTITIONS)], deadline_s=_ASK_DEADLINE_S
        )
        return sum(ends.values())


@dataclass(frozen=True, slots=True)
class Stand:
    """What a figure's module works with."""

    root: Path
    stack: LocalStack
    feed: Feed
    opened: AsyncExitStack

    async def service(
        self, name: str, module: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> ServiceProcess:
        """A service of the project under the installation's settings, once it says that it is ready."""
        given = settings or {}
        port = int(given.get("HEADRACE_HTTP_PORT") or choose_ports([name])[name])
        return await self._started(
            name,
            module,
            {
                **self.stack.environment(),
                "HEADRACE_PARTITIONS": str(PARTITIONS),
                "HEADRACE_INSTANCE": f"{name}-1",
                "HEADRACE_HTTP_PORT": str(port),
                **given,
            },
            lambda: _is_ready(port),
        )

    async def ordinary(
        self, name: str, module: Sequence[str], ready: Callable[[], Awaitable[bool]] | None = None
    ) -> ServiceProcess:
        """A process of an ordinary alternative; it finds the stack by the same variables."""
        return await self._started(name, module, self.stack.environment(), ready)

    async def _started(
        self,
        name: str,
        module: Sequence[str],
        environment: Mapping[str, str],
        ready: Callable[[], Awaitable[bool]] | None,
    ) -> ServiceProcess:
        process = ServiceProcess(
            name,
            [sys.executable, "-m", *module],
            environment,
            self.root / f"{name}.log",
            ready=ready,
            ready_within_s=_READY_WITHIN_S,
        )
        await process.start()
        self.opened.push_async_callback(process.stop)
        return process


@asynccontextmanager
async def stand(*more_topics: str) -> AsyncIterator[Stand]:
    """A stack with the topics of an installation and ``more_topics``, each of PARTITIONS partitions."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        async with LocalStack(root / "stack", fast=False) as stack, AsyncExitStack() as opened:
            bootstrap = stack.endpoints.kafka_bootstrap
            await create_topics(bootstrap, PARTITIONS, 1)
            connection = KafkaConnection(bootstrap)
            await _create(connection, more_topics)
            writer, reader = KafkaLogWriter(connection), KafkaLogReader(connection)
            for client in (writer, reader):
                await client.start()
                opened.push_async_callback(client.stop)
            yield Stand(root, stack, Feed(writer, reader), opened)


async def until(reached: Callable[[], Awaitable[bool]], *, within_s: float, what: str) -> None:
    """Ask until it is so; RuntimeError where it takes too long."""
    try:
        async with asyncio.timeout(within_s):
            while not await reached():  # noqa: ASYNC110  (the other side is another process)
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise RuntimeError(f"{what}: not within {within_s:.0f} s") from None


async def _create(connection: KafkaConnection, topics: Sequence[str]) -> None:
    admin = KafkaLogAdmin(connection)
    await admin.start()
    try:
        await admin.create_topics([TopicSpec(topic, PARTITIONS, 1) for topic in topics])
    finally:
        await admin.stop()


async def is_listening(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


async def _is_ready(port: int) -> bool:
    async with httpx.AsyncClient(timeout=2.0) as client:
        try:
            answer = await client.get(f"http://{LOOPBACK}:{port}/readyz")
        except httpx.TransportError:
            return False
    return answer.status_code == 200
