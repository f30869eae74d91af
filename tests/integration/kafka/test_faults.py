"""Kafka adapters while brokers die, freeze and come back."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from tests.support.log import DEADLINE_S, LogWorld, eventually, log_world, read_all

from headrace_local.server import Server
from headrace_local.stack import LocalStack
from headrace_runtime.errors_log import AppendRefused, AppendUnknown, LogUnavailable
from headrace_runtime.kafka import Batcher, KafkaConnection, KafkaLogReader, KafkaLogWriter
from headrace_runtime.kafka.cluster import Cluster
from headrace_runtime.ports_log import Batch, TopicPartition

KAFKA = "kafka-1"


@pytest.fixture
async def world(fresh_stack: LocalStack) -> AsyncIterator[LogWorld]:
    connection = KafkaConnection(fresh_stack.endpoints.kafka_bootstrap, request_timeout_s=3.0)
    async with log_world(connection) as made:
        yield made


@dataclass
class Journal:
    """What one writing task was told about each value."""

    acked: dict[tuple[int, int], bytes] = field(default_factory=dict)
    unknown: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)


def _one(value: bytes) -> Batch:
    return Batch([None], [value])


def _more_than(least: int, count: Callable[[], int]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return count() > least

    return check


async def _crash(server: Server) -> None:
    server.kill()
    await asyncio.sleep(0.2)
    await server.start()


async def _write(world: LogWorld, tp: TopicPartition, journal: Journal, until: asyncio.Event) -> None:
    writer = await world.writer()
    while not until.is_set():
        value = uuid.uuid4().bytes
        try:
            offset = await writer.append(tp, _one(value), deadline_s=1.5)
            journal.acked[tp.partition, offset] = value
        except AppendUnknown:
            journal.unknown.add(value)
        except AppendRefused:
            journal.refused.add(value)
        while writer.failed(tp):
            try:
                await writer.recreate(tp, deadline_s=1.0)
            except LogUnavailable:
                continue


async def test_every_acknowledged_record_survives_kill_9_at_its_offset(
    world: LogWorld, fresh_stack: LocalStack
) -> None:
    topic = await world.topic(3)
    tps = [TopicPartition(topic, p) for p in range(3)]
    journal, until, reader = Journal(), asyncio.Event(), await world.reader()
    writers = [asyncio.ensure_future(_write(world, tps[n % 3], journal, until)) for n in range(6)]
    for _ in range(3):
        await asyncio.sleep(0.7)
        before = len(journal.acked)
        await _crash(fresh_stack.servers[KAFKA])
        await eventually(_more_than(before, lambda: len(journal.acked)))
    until.set()
    await asyncio.gather(*writers)
    found = {
        (tp.partition, r.offset): r.value for tp, part in (await read_all(reader, tps)).items() for r in part
    }
    assert journal.acked.items() <= found.items()
    copies = Counter(found.values())
    assert all(copies[value] == 1 for value in journal.acked.values())
    assert not journal.refused & copies.keys(), "a refused record is in the log"
    assert copies.keys() <= set(journal.acked.values()) | journal.unknown


async def test_no_answer_by_the_deadline_is_unknown_and_ends_the_partition(
    world: LogWorld, fresh_stack: LocalStack
) -> None:
    tp, writer = TopicPartition(await world.topic(), 0), await world.writer()
    await writer.append(tp, _one(b"before"), deadline_s=DEADLINE_S)
    fresh_stack.servers[KAFKA].pause()
    with pytest.raises(AppendUnknown):
        await writer.append(tp, _one(b"during"), deadline_s=0.5)
    with pytest.raises(AppendRefused):
        await writer.append(tp, _one(b"refused"), deadline_s=0.5)
    fresh_stack.servers[KAFKA].resume()
    await writer.recreate(tp, deadline_s=DEADLINE_S)
    offset = await writer.append(tp, _one(b"after"), deadline_s=DEADLINE_S)
    found = (await read_all(await world.reader(), [tp]))[tp]
    values = [record.value for record in found]
    assert found[offset].value == b"after"
    assert values in ([b"before", b"after"], [b"before", b"during", b"after"])


async def test_a_request_whose_answer_was_lost_is_not_appended_twice(
    world: LogWorld, fresh_stack: LocalStack
) -> None:
    assert world.connection is not None
    tp = TopicPartition(await world.topic(), 0)
    writer = KafkaLogWriter(world.connection)
    await writer.start()
    try:
        await writer.append(tp, _one(b"before"), deadline_s=DEADLINE_S)
        fresh_stack.servers[KAFKA].pause()
        sending = asyncio.ensure_future(writer.append(tp, _one(b"once"), deadline_s=DEADLINE_S))
        await asyncio.sleep(0.2)  # the request is in the broker's socket now
        for connection in list(writer._cluster.client._conns.values()):
            connection.close()
        await asyncio.sleep(0.2)
        fresh_stack.servers[KAFKA].resume()
        assert await sending == 1
        assert await writer.append(tp, _one(b"after"), deadline_s=DEADLINE_S) == 2
    finally:
        await writer.stop()
    found = (await read_all(await world.reader(), [tp]))[tp]
    assert [record.value for record in found] == [b"before", b"once", b"after"]


async def test_stopping_without_brokers_ends_in_time(world: LogWorld, fresh_stack: LocalStack) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    reader.assign({tp: 0})
    await writer.append(tp, _one(b"before"), deadline_s=DEADLINE_S)
    fresh_stack.servers[KAFKA].kill()
    pending = asyncio.ensure_future(writer.append(tp, _one(b"pending"), deadline_s=60.0))
    await asyncio.sleep(0.3)
    async with asyncio.timeout(10.0):
        await writer.stop(deadline_s=2.0)
        await reader.stop(deadline_s=2.0)
        with pytest.raises((AppendRefused, AppendUnknown)):
            await pending


async def test_starting_without_brokers_fails_by_the_deadline(
    world: LogWorld, fresh_stack: LocalStack
) -> None:
    assert world.connection is not None
    fresh_stack.servers[KAFKA].kill()
    for adapter in (KafkaLogWriter(world.connection), KafkaLogReader(world.connection)):
        with pytest.raises(LogUnavailable) as failure:
            await adapter.start(deadline_s=0.5)
        assert fresh_stack.endpoints.kafka_bootstrap in failure.value.fix


async def test_a_reader_goes_on_where_it_was_after_a_crash(world: LogWorld, fresh_stack: LocalStack) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    await writer.append(tp, _one(b"0"), deadline_s=DEADLINE_S)
    reader.assign({tp: 0})
    values = [r.value for r in (await reader.fetch(max_wait_s=DEADLINE_S))[tp].records]
    fresh_stack.servers[KAFKA].kill()
    silent_since = time.monotonic()
    assert await reader.fetch(max_wait_s=0.5) == {}
    assert reader.last_success_monotonic < silent_since + 0.3, "the health flag shows the silence"
    await fresh_stack.servers[KAFKA].start()
    for n in range(1, 4):
        await writer.append(tp, _one(b"%d" % n), deadline_s=DEADLINE_S)
    while len(values) < 4:
        fetched = await reader.fetch(max_wait_s=DEADLINE_S)
        values += [r.value for r in fetched[tp].records]
    assert values == [b"0", b"1", b"2", b"3"]
    assert reader.last_success_monotonic > silent_since + 0.5


async def test_the_batcher_answers_every_request_and_recovers(
    world: LogWorld, fresh_stack: LocalStack
) -> None:
    topic = await world.topic(2)
    batcher = Batcher(await world.writer(), topic, 2, deadline_s=1.0)
    told: dict[tuple[int, int], bytes] = {}
    outcomes: Counter[str] = Counter()

    async def client(partition: int, until: asyncio.Event) -> None:
        while not until.is_set():
            value = uuid.uuid4().bytes
            try:
                (offset,) = await batcher.add([partition], [None], [value], [[]])
                told[partition, offset] = value
                outcomes["acked"] += 1
            except (AppendRefused, AppendUnknown) as error:
                outcomes[type(error).__name__] += 1

    until = asyncio.Event()
    clients = [asyncio.ensure_future(client(n % 2, until)) for n in range(20)]
    await asyncio.sleep(0.5)
    fresh_stack.servers[KAFKA].kill()
    await asyncio.sleep(1.5)
    assert outcomes["AppendUnknown"] + outcomes["AppendRefused"] > 0
    await fresh_stack.servers[KAFKA].start()
    before = outcomes["acked"]
    await eventually(_more_than(before + 100, lambda: outcomes["acked"]))
    until.set()
    await asyncio.gather(*clients)
    assert await batcher.close(deadline_s=DEADLINE_S)
    assert batcher.bytes_in_flight == 0
    tps = [TopicPartition(topic, p) for p in range(2)]
    found = await read_all(await world.reader(), tps)
    log = {(tp.partition, r.offset): r.value for tp, records in found.items() for r in records}
    assert told.items() <= log.items()


async def test_a_batcher_that_cannot_drain_says_so(world: LogWorld, fresh_stack: LocalStack) -> None:
    batcher = Batcher(await world.writer(), await world.topic(1), 1, deadline_s=60.0)
    assert await batcher.add([0], [None], [b"before"], [[]]) == [0]
    fresh_stack.servers[KAFKA].pause()
    lost = batcher.add([0], [None], [b"lost"], [[]])
    assert not await batcher.close(deadline_s=0.5)
    with pytest.raises(AppendUnknown):
        await lost
    fresh_stack.servers[KAFKA].resume()


async def test_control_batches_are_skipped(world: LogWorld, fresh_stack: LocalStack) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    await writer.append(tp, _one(b"plain"), deadline_s=DEADLINE_S)
    bootstrap = fresh_stack.endpoints.kafka_bootstrap
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=uuid.uuid4().hex)
    async with producer, producer.transaction():
        await producer.send_and_wait(tp.topic, b"in a transaction", partition=0)

    async def marker_is_written() -> bool:
        return (await reader.end_offsets([tp], deadline_s=DEADLINE_S))[tp] == 3

    await eventually(marker_is_written)
    assert await writer.append(tp, _one(b"plain again"), deadline_s=DEADLINE_S) == 3
    found = (await read_all(reader, [tp]))[tp]
    assert [(r.offset, r.value) for r in found] == [
        (0, b"plain"),
        (1, b"in a transaction"),
        (3, b"plain again"),
    ]
    reader.assign({tp: 2})
    fetched = (await reader.fetch(max_wait_s=DEADLINE_S))[tp]
    assert ([r.offset for r in fetched.records], fetched.next_offset) == ([3], 4)


async def test_a_new_producer_id_long_before_sequences_wrap(world: LogWorld) -> None:
    assert world.connection is not None
    tp = TopicPartition(await world.topic(), 0)
    writer = KafkaLogWriter(world.connection, max_sequence=10)
    await writer.start()
    try:
        bases = [
            await writer.append(tp, Batch([None] * 4, [b"v"] * 4), deadline_s=DEADLINE_S) for _ in range(5)
        ]
    finally:
        await writer.stop()
    assert bases == [0, 4, 8, 12, 16]
    states = await _producer_states(world.connection, tp)
    assert [sequence for _, sequence in states] == [0, 4, 0, 4, 0]
    assert len({producer for producer, _ in states}) == 3


async def _producer_states(connection: KafkaConnection, tp: TopicPartition) -> list[tuple[int, int]]:
    """Producer id and base sequence of every batch, as the broker stores them."""
    cluster = Cluster(connection)
    await cluster.open(deadline_s=DEADLINE_S)
    try:
        node = cluster.leader(tp)
        assert node is not None
        request = FetchRequest(500, 1, 1 << 20, 0, [(tp.topic, [(tp.partition, 0, 1 << 20)])])
        answer = await cluster.send(node, request)
    finally:
        await cluster.close(deadline_s=1.0)
    batches = MemoryRecords(answer.topics[0][1][0][-1])
    states = []
    while batches.has_next():
        batch = batches.next_batch()
        states.append((batch.producer_id, batch.base_sequence))
    return states
