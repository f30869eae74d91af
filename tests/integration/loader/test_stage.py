"""The roles `stage` and `archive` as processes, on the real Kafka and S3 server, under kills of everything."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from tests.support.clean_events import as_batch, clean_event, fingerprint_of
from tests.support.staging import (
    DEADLINE_S,
    LoaderRole,
    loader_role,
    parquet_rows,
    read_chain,
    stack_store,
    until,
)

from headrace_core.block import Block, BlockHeader, Verdict, encode_block
from headrace_core.events import CleanEvent
from headrace_core.keys import file_id
from headrace_core.manifest import content_sum, row_digest
from headrace_core.meta import encode_index
from headrace_core.raw_lines import decode_raw_line
from headrace_core.reasons import Reason
from headrace_core.topics import DEDUP_INDEX, EVENTS_CLEAN, EVENTS_RAW, HEADER_INDEX, HEADER_META
from headrace_local.errors import ProcessFailedError
from headrace_local.installation import create_topics
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition
from headrace_runtime.ports_store import ObjectStore

P = 2


@dataclass
class World:
    """A stack with topics; what was appended to events.clean, by partition, is remembered."""

    stack: LocalStack
    store: ObjectStore
    writer: KafkaLogWriter
    folder: Path
    clean: dict[int, list[CleanEvent]] = field(default_factory=lambda: {p: [] for p in range(P)})
    roles: list[LoaderRole] = field(default_factory=list)

    def role(self, role: str, **settings: object) -> LoaderRole:
        """A process of the loader, not started."""
        made = loader_role(self.stack, role, self.folder, **{"partitions": P, **settings})
        self.roles.append(made)
        return made

    async def append(self, partition: int, sources: list[int]) -> None:
        """Append the clean events of these raw offsets."""
        events = [clean_event(at, partition=partition) for at in sources]
        tp = TopicPartition(EVENTS_CLEAN.name, partition)
        if self.writer.failed(tp):
            await self.writer.recreate(tp, deadline_s=DEADLINE_S)
        await self.writer.append_all(tp, as_batch(events), deadline_s=DEADLINE_S)
        self.clean[partition] += events

    async def staged_all(self) -> None:
        """Wait until the chains reach the ends of the log."""

        async def reached() -> bool:
            ends = [[0, *(m.end for m in await read_chain(self.store, "events", p))][-1] for p in range(P)]
            return ends == [len(self.clean[p]) for p in range(P)]

        await until(reached)

    async def check(self) -> None:
        """The chains hold each source offset exactly once, in rows equal to the events."""
        for partition, events in self.clean.items():
            manifests = await read_chain(self.store, "events", partition)
            wanted = {event.src_offset: event for event in events}
            rows = await parquet_rows(self.store, manifests)
            assert sorted(row["src_offset"] for row in rows) == sorted(wanted)
            for row in rows:
                file = row.pop("file_id")
                assert file in {file_id(f.key) for m in manifests for f in m.files}
                assert row == row_of(wanted[row["src_offset"]])
            digests = [
                row_digest(e.dedup_id, e.src_partition, e.src_offset, fingerprint_of(e))
                for e in wanted.values()
            ]
            assert content_sum(int(m.content, 16) for m in manifests) == content_sum(digests)


def row_of(event: CleanEvent) -> dict[str, Any]:
    """The row that Parquet has to hold for an event."""
    row = msgspec.structs.asdict(event)
    for name in ("event_ts", "received_ts"):
        row[name] = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row[name])
    for name in ("properties", "context"):
        row[name] = None if row[name] is None else bytes(row[name]).decode()
    row["revenue"] = None if row["revenue"] is None else Decimal(row["revenue"])
    return row


@pytest.fixture
async def world(fresh_stack: LocalStack, tmp_path: Path) -> AsyncIterator[World]:
    """A world of this test's own."""
    await create_topics(fresh_stack.endpoints.kafka_bootstrap, P, 1)
    writer = KafkaLogWriter(KafkaConnection(fresh_stack.endpoints.kafka_bootstrap))
    await writer.start()
    made = World(fresh_stack, stack_store(fresh_stack), writer, tmp_path)
    try:
        yield made
    finally:
        await asyncio.gather(*(role.process.stop() for role in made.roles))
        await writer.stop()


async def test_rows_equal_the_records_and_repeats_are_dropped(world: World) -> None:
    await world.append(0, [*range(3000)])
    await world.append(1, [*range(5, 900)])
    await world.append(0, [*range(2500, 3000), *range(3000, 3200)])
    worker = world.role("stage")
    await worker.process.start()
    await world.staged_all()
    await world.append(1, [*range(850, 1000)])
    await world.staged_all()
    await world.check()
    # A second life goes on where the chain ends; nothing is staged again.
    await worker.process.stop()
    assert worker.process.returncode == 0
    before = len(await read_chain(world.store, "events", 0))
    await worker.process.start()
    await world.append(0, [*range(3100, 3300)])
    await world.staged_all()
    await world.check()
    assert len(await read_chain(world.store, "events", 0)) == before + 1


async def test_kills_of_the_worker_lose_and_double_nothing(world: World) -> None:
    worker = world.role("stage", stage_cut_rows=300, stage_cut_age_s=0.3, stage_static_member=True)
    next_source = [0] * P
    for kill in range(5):
        await worker.process.start()
        for _ in range(6):
            for partition in range(P):
                # Every third batch begins with records sent again, as a new owner of dedup does.
                first = next_source[partition] - (40 if kill % 3 == 1 else 0)
                await world.append(partition, [*range(max(0, first), next_source[partition] + 250)])
                next_source[partition] += 250
            await asyncio.sleep(0.05 * kill)
        worker.process.kill()
    await worker.process.start()
    await world.staged_all()
    await world.check()


async def test_two_owners_of_one_partition_race_and_stay_exact(world: World) -> None:
    workers = [
        world.role("stage", instance=f"stage-{n}", stage_group=f"group-{n}", stage_cut_rows=200 + 70 * n)
        for n in range(2)
    ]
    starts = itertools.count(0, 150)  # rounds of 200: each begins with 50 records sent again

    async def rounds(number: int) -> None:
        for start in itertools.islice(starts, number):
            for partition in range(P):
                await world.append(partition, [*range(start, start + 200)])

    await asyncio.gather(*(worker.process.start() for worker in workers))
    await rounds(4)
    for zombie in workers:
        # What is appended from here on only the other one can stage; the zombie comes back with a cut that was long staged.
        zombie.process.pause()
        await rounds(4)
        await world.staged_all()
        zombie.process.resume()
        await rounds(4)
    await world.staged_all()
    await asyncio.sleep(1.5)
    await world.check()
    writers = {m.writer for p in range(P) for m in await read_chain(world.store, "events", p)}
    assert writers == {"stage-0", "stage-1"}


async def test_members_of_a_group_share_the_partitions(world: World) -> None:
    workers = [world.role("stage", instance=f"stage-{n}") for n in range(2)]
    await asyncio.gather(*(worker.process.start() for worker in workers))
    await world.append(0, [*range(500)])
    await world.append(1, [*range(500)])
    await world.staged_all()
    workers[0].process.kill()
    await world.append(0, [*range(500, 900)])
    await world.append(1, [*range(500, 900)])
    await world.staged_all()
    await world.check()


async def test_outages_of_store_and_broker_are_told_and_made_good(world: World) -> None:
    worker = world.role("stage")
    await worker.process.start()
    await world.append(0, [*range(400)])
    await world.staged_all()

    store = world.stack.servers["s3"]
    store.kill()
    await world.append(0, [*range(400, 800)])
    await until(lambda: worker.down("s3"))
    await asyncio.sleep(2.0)
    await store.start()
    await world.staged_all()
    await until(worker.ready)

    broker = world.stack.servers["kafka-1"]
    broker.kill()
    await until(lambda: worker.down("kafka"))
    await broker.start()
    await world.append(1, [*range(700)])
    await world.staged_all()
    await until(worker.ready)
    await world.check()


async def test_another_log_stops_the_worker(world: World) -> None:
    await world.append(0, [*range(50)])
    worker = world.role("stage")
    await worker.process.start()
    await world.staged_all()
    await worker.process.stop()
    admin = KafkaLogAdmin(KafkaConnection(world.stack.endpoints.kafka_bootstrap))
    await admin.start()
    await admin.delete_topics([EVENTS_CLEAN.name])

    async def gone() -> bool:
        return not await admin.describe([EVENTS_CLEAN.name])

    await until(gone)
    await admin.stop()
    await create_topics(world.stack.endpoints.kafka_bootstrap, P, 1)
    with pytest.raises(ProcessFailedError, match="foreign_chain"):
        await worker.process.start()
    assert worker.process.returncode == 78


async def test_records_lost_before_they_were_staged_stop_the_worker(world: World) -> None:
    await world.append(0, [*range(20)])
    worker = world.role("stage")
    await worker.process.start()
    await world.staged_all()
    await worker.process.stop()
    await world.append(0, [*range(20, 80)])
    admin = KafkaLogAdmin(KafkaConnection(world.stack.endpoints.kafka_bootstrap))
    await admin.start()
    await admin.delete_records({TopicPartition(EVENTS_CLEAN.name, 0): 50})
    await admin.stop()
    with suppress(ProcessFailedError):
        await worker.process.start()
    assert await worker.process.wait(30.0) == 78
    assert "position_out_of_range" in (world.folder / "stage.log").read_text()
    assert [manifest.end for manifest in await read_chain(world.store, "events", 0)] == [20]


async def test_a_wrong_partition_count_stops_the_worker(world: World) -> None:
    worker = world.role("stage", partitions=P + 1)
    with pytest.raises(ProcessFailedError, match="topic_partitions"):
        await worker.process.start()
    assert worker.process.returncode == 78


async def test_raw_records_and_verdicts_are_archived(world: World) -> None:
    raw = TopicPartition(EVENTS_RAW.name, 0)
    values = [b'{"n":%d, "s":"\xc3\xa9\\n"}' % n for n in range(400)] + [b"\xff\xfe not utf-8", b"\n"]
    meta = b'{"version":1,"source":"shop"}'
    headers = [[(HEADER_META, meta), (HEADER_INDEX, encode_index(n))] for n in range(len(values))]
    await world.writer.append_all(
        raw, Batch([b"k" * 16] * len(values), values, headers), deadline_s=DEADLINE_S
    )
    blocks = await append_blocks(world)
    worker = world.role("archive", stage_cut_rows=150)
    await worker.process.start()

    async def reached() -> bool:
        lines, verdicts = (
            await read_chain(world.store, "raw", 0),
            await read_chain(world.store, "verdicts", 0),
        )
        return bool(lines and verdicts) and (lines[-1].end, verdicts[-1].end) == (len(values), blocks)

    await until(reached)
    found = []
    for manifest in await read_chain(world.store, "raw", 0):
        for file in manifest.files:
            data = zstandard.decompress(await world.store.get(file.key, deadline_s=DEADLINE_S))
            found += [decode_raw_line(line) for line in data.split(b"\n")[:-1]]
    assert [(r.offset, r.value, r.meta, r.index, r.key) for r in found] == [
        (n, value, meta, n, b"k" * 16) for n, value in enumerate(values)
    ]
    manifests = await read_chain(world.store, "verdicts", 0)
    rows = await parquet_rows(world.store, manifests)
    assert [row["src_offset"] for row in rows] == [*range(15)]
    assert {row["index_offset"] for row in rows} == {0, 2, 3}
    assert [row["verdict"] for row in rows[:3]] == ["accepted", "duplicate", "quarantined"]
    assert [row["reason"] for row in rows[:3]] == [None, None, "id_conflict"]
    assert [row["first_offset"] for row in rows[:3]] == [None, 0, 0]
    assert rows[2]["fingerprint"] == -1
    assert manifests[-1].max_source_offset == 14


async def append_blocks(world: World) -> int:
    """Four blocks: the second one stands at another offset than it was meant for, so it is void."""
    admin = KafkaLogAdmin(KafkaConnection(world.stack.endpoints.kafka_bootstrap))
    await admin.start()
    cluster, topics = await admin.cluster_id(), await admin.describe([EVENTS_RAW.name])
    await admin.stop()
    meant = [(0, 0), (0, 5), (2, 5), (3, 10)]
    for index_offset, start in meant:
        header = BlockHeader(
            cluster_id=cluster,
            topic_id=topics[EVENTS_RAW.name].topic_id,
            partition=0,
            index_offset=index_offset,
            start=start,
            end=start + 5,
            clock_ms=1_790_000_000_000,
            schema_version=1,
            rules_version=1,
            fingerprint_version=1,
            writer="dedup-1",
            count=5,
        )
        block = Block(
            header,
            offsets=tuple(range(start, start + 5)),
            verdicts=bytes(
                [Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED, Verdict.ACCEPTED, Verdict.ACCEPTED]
            ),
            reasons=(0, 0, Reason.ID_CONFLICT.number, 0, 0),
            first_offsets=(-1, start, start, -1, -1),
            fingerprints=(1, 1, 2**64 - 1, 4, 5),
            dedup_ids=bytes(range(80)),
        )
        tp = TopicPartition(DEDUP_INDEX.name, 0)
        await world.writer.append(tp, Batch([None], [encode_block(block)]), deadline_s=DEADLINE_S)
    return len(meant)
