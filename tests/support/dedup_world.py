"""A stack with topics and real dedup workers as processes; raw records in, everything out, checked against an oracle."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from headrace_core.block import Block, Verdict, decode_block, is_valid_at
from headrace_core.identity import Edge, decode_edge, edge_key, encode_edge
from headrace_core.keys import dedup_id, partition_of
from headrace_core.meta import RequestMeta, decode_source_offset, encode_index, encode_meta
from headrace_core.topics import DEDUP_INDEX, EVENTS_CLEAN, EVENTS_QUARANTINE, EVENTS_RAW, IDENTITY_EDGES
from headrace_local.installation import create_topics
from headrace_local.ports import choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogReader, KafkaLogWriter
from headrace_runtime.ports_log import Batch, Record, TopicPartition

__all__ = ["DedupWorld", "RawEvent", "identify_event", "native_event", "source_offset"]

SOURCE = "shop"
_DEADLINE_S = 30.0


@dataclass(frozen=True)
class RawEvent:
    """A record for events.raw: the key that ingest would give it, and its bytes."""

    key: bytes
    value: bytes


def native_event(identifier: str, amount: int = 1, *, name: str | None = "Ordered") -> RawEvent:
    """A native event; without a name dedup quarantines it."""
    body = {"type": "track", "id": identifier, "properties": {"amount": amount}}
    if name is not None:
        body["name"] = name
    return RawEvent(dedup_id(SOURCE, identifier), json.dumps(body).encode())


def identify_event(identifier: str, *, user_id: str, anonymous_id: str) -> RawEvent:
    """A native event that ties an anonymous id to a user id."""
    body = {
        "type": "identify",
        "name": "n",
        "id": identifier,
        "user_id": user_id,
        "anonymous_id": anonymous_id,
    }
    return RawEvent(dedup_id(SOURCE, identifier), json.dumps(body).encode())


def source_offset(record: Record) -> int:
    """Header ``s``."""
    return decode_source_offset(dict(record.headers)["s"] or b"")


@dataclass
class DedupWorld:
    """Topics of ``partitions`` partitions on a stack of the test's own."""

    stack: LocalStack
    root: Path
    partitions: int = 2
    settings: dict[str, str] = field(default_factory=dict)
    workers: dict[str, ServiceProcess] = field(default_factory=dict)
    sent: int = 0

    async def prepare(self) -> None:
        """Create the topics."""
        await create_topics(self.stack.endpoints.kafka_bootstrap, self.partitions, 1)

    @property
    def connection(self) -> KafkaConnection:
        """Of the stack's broker."""
        return KafkaConnection(self.stack.endpoints.kafka_bootstrap)

    def worker(self, name: str, *arguments: str, **settings: str) -> ServiceProcess:
        """A worker process of this name, not started; its log lies in ``root``."""
        port = choose_ports([name])[name]

        async def ready() -> bool:
            return (await self.readiness(port)).get("ready") is True

        env = {
            **self.stack.environment(),
            "HEADRACE_PARTITIONS": str(self.partitions),
            "HEADRACE_HTTP_PORT": str(port),
            "HEADRACE_INSTANCE": name,
            "HEADRACE_DEDUP_SESSION_S": "6",
            "HEADRACE_SHUTDOWN_GRACE_S": "10",
            **self.settings,
            **settings,
        }
        made = ServiceProcess(
            name,
            [sys.executable, "-m", "headrace_dedup", *arguments],
            env,
            self.root / f"{name}.log",
            ready=ready,
            ready_within_s=40.0,
        )
        self.workers[name] = made
        return made

    @staticmethod
    async def readiness(port: int | str) -> dict[str, object]:
        """What /readyz says; empty where nobody answers."""
        async with httpx.AsyncClient(timeout=2.0) as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/readyz")
            except httpx.TransportError:
                return {}
        found: dict[str, object] = answer.json()
        return found

    def kill_all(self) -> None:
        """End every worker."""
        for worker in self.workers.values():
            worker.kill()

    async def send(self, events: Sequence[RawEvent]) -> None:
        """Append to events.raw as ingest does: by key, one request's metadata for all."""
        meta = encode_meta(
            RequestMeta(
                source=SOURCE,
                dialect="native",
                path="/v1/events",
                received_at=1_790_000_000_000,
                request_id=f"r{self.sent}",
            )
        )
        writer = KafkaLogWriter(self.connection)
        await writer.start(deadline_s=_DEADLINE_S)
        by_partition: dict[int, list[tuple[int, RawEvent]]] = {}
        for index, event in enumerate(events):
            by_partition.setdefault(partition_of(event.key, self.partitions), []).append((index, event))
        try:
            for partition, mine in by_partition.items():
                headers = [(("m", meta), ("i", encode_index(index))) for index, _ in mine]
                await writer.append_all(
                    TopicPartition(EVENTS_RAW.name, partition),
                    Batch([event.key for _, event in mine], [event.value for _, event in mine], headers),
                    deadline_s=_DEADLINE_S,
                )
        finally:
            await writer.stop()
        self.sent += len(events)

    async def read(self, topic: str, partitions: int | None = None) -> dict[int, list[Record]]:
        """Every record of a topic, by partition."""
        reader = KafkaLogReader(self.connection)
        await reader.start(deadline_s=_DEADLINE_S)
        tps = [TopicPartition(topic, partition) for partition in range(partitions or self.partitions)]
        try:
            ends = await reader.end_offsets(tps, deadline_s=_DEADLINE_S)
            starts = await reader.beginning_offsets(tps, deadline_s=_DEADLINE_S)
            reader.assign(starts)
            found: dict[int, list[Record]] = {tp.partition: [] for tp in tps}
            async with asyncio.timeout(_DEADLINE_S):
                while any(reader.position(tp) < ends[tp] for tp in tps):
                    for tp, records in (await reader.fetch(max_wait_s=1.0)).items():
                        found[tp.partition] += records.records
        finally:
            await reader.stop()
        return found

    async def edges(self) -> list[Edge]:
        """Every edge in identity.edges."""
        records = (await self.read(IDENTITY_EDGES.name, partitions=1))[0]
        return [decode_edge(record.value) for record in records if record.value is not None]

    async def write_edges(self, *edges: Edge) -> None:
        """Append edges as a sync does."""
        writer = KafkaLogWriter(self.connection)
        await writer.start(deadline_s=_DEADLINE_S)
        try:
            batch = Batch([edge_key(edge) for edge in edges], [encode_edge(edge) for edge in edges])
            await writer.append(TopicPartition(IDENTITY_EDGES.name, 0), batch, deadline_s=_DEADLINE_S)
        finally:
            await writer.stop()

    async def blocks(self) -> dict[int, list[Block]]:
        """The valid blocks by partition."""
        index = await self.read(DEDUP_INDEX.name)
        return {
            partition: [
                block
                for record in records
                if is_valid_at((block := decode_block(record.value or b"")).header, record.offset)
            ]
            for partition, records in index.items()
        }

    async def lose_index(self) -> None:
        """Delete every block."""
        admin, reader = KafkaLogAdmin(self.connection), KafkaLogReader(self.connection)
        await admin.start(deadline_s=_DEADLINE_S)
        await reader.start(deadline_s=_DEADLINE_S)
        tps = [TopicPartition(DEDUP_INDEX.name, partition) for partition in range(self.partitions)]
        try:
            await admin.delete_records(await reader.end_offsets(tps, deadline_s=_DEADLINE_S))
        finally:
            await asyncio.gather(admin.stop(), reader.stop())

    async def until_decided(self, within_s: float = 60.0) -> None:
        """Wait until every raw record has a verdict and every output of it is out."""
        async with asyncio.timeout(within_s):
            while True:
                raw = await self.read(EVENTS_RAW.name)
                blocks = await self.blocks()
                ends = {
                    partition: found[-1].header.end if found else 0 for partition, found in blocks.items()
                }
                if all(ends[partition] == len(records) for partition, records in raw.items()):
                    return
                await asyncio.sleep(0.3)

    async def check(self, events: Iterable[RawEvent]) -> Counter[str]:
        """The promises on what stands in the topics now; counts of verdicts. All raw records must be decided."""
        raw = await self.read(EVENTS_RAW.name)
        clean, quarantine = await self.read(EVENTS_CLEAN.name), await self.read(EVENTS_QUARANTINE.name)
        counts: Counter[str] = Counter()
        accepted_keys: set[bytes] = set()
        for partition, blocks in (await self.blocks()).items():
            verdicts: dict[int, int] = {}
            end = 0
            for block in blocks:
                assert block.header.start == end, "valid blocks are contiguous"
                end = block.header.end
                verdicts.update(zip(block.offsets, block.verdicts, strict=True))
            assert sorted(verdicts) == [record.offset for record in raw[partition]]
            accepted = [offset for offset, verdict in sorted(verdicts.items()) if verdict == Verdict.ACCEPTED]
            assert _first_appearances(clean[partition]) == accepted
            quarantined = {o for o, verdict in verdicts.items() if verdict == Verdict.QUARANTINED}
            assert {source_offset(record) for record in quarantine[partition]} == quarantined
            by_offset = {record.offset: record for record in raw[partition]}
            for record in quarantine[partition]:
                assert record.value == by_offset[source_offset(record)].value
            keys = [by_offset[offset].key or b"" for offset in accepted]
            assert len(set(keys)) == len(keys), "an id was accepted twice"
            accepted_keys.update(keys)
            counts.update(Verdict(verdict).name for verdict in verdicts.values())
        good = {event.key for event in events if b'"name"' in event.value}
        assert accepted_keys == good
        return counts


def _first_appearances(records: Sequence[Record]) -> list[int]:
    """Source offsets that the stage's filter lets through (rule S1)."""
    found: list[int] = []
    for record in records:
        source = source_offset(record)
        if not found or source > found[-1]:
            found.append(source)
    return found
