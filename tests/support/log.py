"""Worlds in which the log contract runs: the in-memory log and the real brokers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogReader, KafkaLogWriter
from headrace_runtime.memory_log import MemoryLog, MemoryLogAdmin, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import LogAdmin, LogReader, LogWriter, Record, TopicPartition, TopicSpec

__all__ = ["DEADLINE_S", "LogWorld", "eventually", "log_world", "read_all", "rows"]

DEADLINE_S = 20.0
_Adapter = TypeVar("_Adapter", LogReader, LogWriter, LogAdmin)


@dataclass
class LogWorld:
    """Makes started adapters on one cluster (`connection`, or memory where it is None); stops them at the end."""

    connection: KafkaConnection | None = None
    memory: MemoryLog = field(default_factory=MemoryLog)
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def writer(self, *, max_batch_bytes: int = 8 << 20, split_bytes: int = 4 << 20) -> LogWriter:
        """A started writer."""
        made: LogWriter
        if self.connection is None:
            made = MemoryLogWriter(self.memory, max_batch_bytes=max_batch_bytes, split_bytes=split_bytes)
        else:
            made = KafkaLogWriter(self.connection, max_batch_bytes=max_batch_bytes, split_bytes=split_bytes)
        return await self._started(made)

    async def reader(self) -> LogReader:
        """A started reader without an assignment."""
        made: LogReader = (
            MemoryLogReader(self.memory) if self.connection is None else KafkaLogReader(self.connection)
        )
        return await self._started(made)

    async def admin(self) -> LogAdmin:
        """A started admin."""
        made: LogAdmin = (
            MemoryLogAdmin(self.memory) if self.connection is None else KafkaLogAdmin(self.connection)
        )
        return await self._started(made)

    async def topic(self, partitions: int = 1, **config: str) -> str:
        """A new topic with append times; underscores in setting names stand for dots."""
        name = f"log-{uuid.uuid4().hex[:12]}"
        settings = {key.replace("_", "."): value for key, value in config.items()}
        settings.setdefault("message.timestamp.type", "LogAppendTime")
        settings.setdefault("max.message.bytes", str(8 << 20))
        admin = await self.admin()
        await admin.create_topics([TopicSpec(name, partitions, 1, settings)])
        return name

    async def _started(self, made: _Adapter) -> _Adapter:
        await made.start(deadline_s=DEADLINE_S)
        self.cleanup.push_async_callback(made.stop)
        return made


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a check holds; TimeoutError where it does not within DEADLINE_S."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await check():
                return
            await asyncio.sleep(0.05)


async def read_all(reader: LogReader, tps: list[TopicPartition]) -> dict[TopicPartition, list[Record]]:
    """Every record of the partitions from offset 0 to their present ends."""
    ends = await reader.end_offsets(tps, deadline_s=DEADLINE_S)
    reader.assign(dict.fromkeys(tps, 0))
    found: dict[TopicPartition, list[Record]] = {tp: [] for tp in tps}
    while any(reader.position(tp) < ends[tp] for tp in tps):
        fetched = await reader.fetch(max_wait_s=DEADLINE_S)
        assert fetched, "the log ended early"
        for tp, records in fetched.items():
            found[tp] += records.records
    return found


def rows(
    records: list[Record],
) -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    """Comparable content of records."""
    return [(r.offset, r.key, r.value, list(r.headers)) for r in records]


@asynccontextmanager
async def log_world(connection: KafkaConnection | None) -> AsyncIterator[LogWorld]:
    """A world that ends with its test."""
    world = LogWorld(connection)
    async with world.cleanup:
        yield world
