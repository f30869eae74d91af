"""Replicated partitions while their leaders are killed one after the other."""

import asyncio
import uuid
from collections import Counter
from pathlib import Path

import pytest
from tests.support.log import DEADLINE_S, LogWorld, eventually, log_world, read_all

from headrace_local.stack import LocalStack
from headrace_runtime.errors_log import AppendRefused, AppendUnknown, LogUnavailable
from headrace_runtime.kafka import KafkaConnection
from headrace_runtime.ports_log import Batch, LogWriter, TopicPartition, TopicSpec

_PARTITIONS = 3


async def _follow(world: LogWorld, tps: list[TopicPartition], until: asyncio.Event) -> list[bytes | None]:
    """Values that a reader sees from the start on, until told to end and at the end of the log."""
    reader = await world.reader()
    reader.assign(dict.fromkeys(tps, 0))
    seen: list[bytes | None] = []
    while True:
        fetched = await reader.fetch(max_wait_s=0.5)
        seen += [record.value for part in fetched.values() for record in part.records]
        if until.is_set() and not fetched:
            ends = await reader.end_offsets(tps, deadline_s=DEADLINE_S)
            if all(reader.position(tp) == ends[tp] for tp in tps):
                return seen


async def _append(writer: LogWriter, tp: TopicPartition, acked: dict[tuple[int, int], bytes]) -> None:
    value = uuid.uuid4().bytes
    try:
        acked[tp.partition, await writer.append(tp, Batch([None], [value]), deadline_s=10.0)] = value
    except (AppendRefused, AppendUnknown):
        while writer.failed(tp):
            try:
                await writer.recreate(tp, deadline_s=5.0)
            except LogUnavailable:
                continue


@pytest.mark.slow
async def test_leaders_die_and_no_acknowledged_record_is_lost_or_seen_twice(stack_folder: Path) -> None:
    async with (
        LocalStack(stack_folder, brokers=3) as stack,
        log_world(KafkaConnection(stack.endpoints.kafka_bootstrap, request_timeout_s=3.0)) as world,
    ):
        topic = f"log-{uuid.uuid4().hex[:12]}"
        admin, writer = await world.admin(), await world.writer()
        await admin.create_topics([TopicSpec(topic, _PARTITIONS, 3, {"min.insync.replicas": "2"})])
        assert (await admin.describe([topic]))[topic].replication == 3
        tps = [TopicPartition(topic, p) for p in range(_PARTITIONS)]
        acked: dict[tuple[int, int], bytes] = {}
        until = asyncio.Event()

        async def write(tp: TopicPartition) -> None:
            while not until.is_set():
                await _append(writer, tp, acked)

        following = asyncio.ensure_future(_follow(world, tps, until))
        writing = [asyncio.ensure_future(write(tp)) for tp in tps]
        for name in ("kafka-1", "kafka-2", "kafka-3"):
            stack.servers[name].kill()
            counts = Counter(partition for partition, _ in acked)

            async def all_go_on(before: Counter[int] = counts) -> bool:
                now = Counter(partition for partition, _ in acked)
                return all(now[p] > before[p] + 5 for p in range(_PARTITIONS))

            await eventually(all_go_on)
            await stack.servers[name].start()
        until.set()
        await asyncio.gather(*writing)
        found = await read_all(await world.reader(), tps)
        log = {(tp.partition, r.offset): r.value for tp, records in found.items() for r in records}
        assert acked.items() <= log.items()
        copies = Counter(log.values())
        assert all(copies[value] == 1 for value in acked.values())
        assert Counter(await following) == copies
