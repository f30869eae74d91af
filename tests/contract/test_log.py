"""What `headrace_runtime.ports_log` promises, on the in-memory log and on real brokers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition as ClientPartition
from tests.support.log import DEADLINE_S, LogWorld, log_world, read_all, rows

from headrace_local.stack import LocalStack
from headrace_runtime.errors_log import (
    AppendRefused,
    AppendTooLarge,
    AppendUnknown,
    LogUnavailable,
    PositionOutOfRange,
    TopicRefused,
)
from headrace_runtime.kafka import Batcher, KafkaConnection
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec
from headrace_runtime.record_headers import header_section, header_value

_REAL = pytest.param("kafka", marks=[pytest.mark.stack, pytest.mark.xdist_group("stack")])


@pytest.fixture(params=["memory", _REAL])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[LogWorld]:
    connection = None
    if request.param == "kafka":
        stack: LocalStack = request.getfixturevalue("stack")
        connection = KafkaConnection(stack.endpoints.kafka_bootstrap)
    async with log_world(connection) as made:
        yield made


def _batch(start: int, count: int) -> Batch:
    numbers = range(start, start + count)
    return Batch([b"k%d" % n for n in numbers], [b"v%d" % n for n in numbers])


async def test_append_returns_the_base_offset_and_records_come_back_in_order(world: LogWorld) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    bases = [await writer.append(tp, _batch(n, n + 1), deadline_s=DEADLINE_S) for n in (0, 1, 2)]
    assert bases == [0, 1, 3]
    found = (await read_all(reader, [tp]))[tp]
    assert [record.value for record in found] == [b"v0", b"v1", b"v2", b"v2", b"v3", b"v4"]
    assert [record.offset for record in found] == list(range(6))
    assert all(record.timestamp > 1_600_000_000_000 for record in found)
    assert reader.position(tp) == 6


async def test_keys_values_and_headers_come_back_as_they_were(world: LogWorld) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    shared = [("m", b"meta"), ("i", b"\0\0\0\1")]
    section = header_section([header_value("ü", b""), header_value("m", b"x" * 300)])
    batch = Batch([None, b"", b"k", b"\xff"], [b"1", b"", None, b"z" * 70_000], [shared, [], section, shared])
    await writer.append(tp, batch, deadline_s=DEADLINE_S)
    assert rows((await read_all(reader, [tp]))[tp]) == [
        (0, None, b"1", shared),
        (1, b"", b"", []),
        (2, b"k", None, [("ü", b""), ("m", b"x" * 300)]),
        (3, b"\xff", b"z" * 70_000, shared),
    ]


async def test_positions_start_where_they_are_set(world: LogWorld) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    await writer.append(tp, _batch(0, 10), deadline_s=DEADLINE_S)
    reader.assign({tp: 7})  # inside a batch
    assert reader.position(tp) == 7
    fetched = await reader.fetch(max_wait_s=DEADLINE_S)
    assert [record.offset for record in fetched[tp].records] == [7, 8, 9]
    assert fetched[tp].next_offset == reader.position(tp) == 10
    reader.assign({tp: 9})
    assert [r.offset for r in (await reader.fetch(max_wait_s=DEADLINE_S))[tp].records] == [9]


async def test_fetch_takes_no_more_than_asked_and_passes_no_partition_over(world: LogWorld) -> None:
    topic = await world.topic(2)
    tps, writer, reader = (
        [TopicPartition(topic, p) for p in range(2)],
        await world.writer(),
        await world.reader(),
    )
    for tp in tps:
        await writer.append(tp, _batch(0, 50), deadline_s=DEADLINE_S)
    reader.assign(dict.fromkeys(tps, 0))
    seen: dict[TopicPartition, list[int]] = {tp: [] for tp in tps}
    while sum(map(len, seen.values())) < 100:
        fetched = await reader.fetch(max_wait_s=DEADLINE_S, max_records=7)
        assert 0 < sum(len(part.records) for part in fetched.values()) <= 7
        for tp, part in fetched.items():
            seen[tp] += [record.offset for record in part.records]
            assert part.next_offset == reader.position(tp) == seen[tp][-1] + 1
    assert all(offsets == list(range(50)) for offsets in seen.values())


async def test_fetch_returns_nothing_in_time_and_wakes_for_new_records(world: LogWorld) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    reader.assign({tp: 0})
    assert await reader.fetch(max_wait_s=0.05) == {}
    waiting = asyncio.ensure_future(reader.fetch(max_wait_s=DEADLINE_S))
    await asyncio.sleep(0)
    await writer.append(tp, _batch(0, 1), deadline_s=DEADLINE_S)
    assert len((await waiting)[tp].records) == 1


async def test_paused_partitions_return_nothing_and_keep_their_position(world: LogWorld) -> None:
    topic = await world.topic(2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    writer, reader = await world.writer(), await world.reader()
    for tp in (first, second):
        await writer.append(tp, _batch(0, 3), deadline_s=DEADLINE_S)
    reader.assign({first: 0, second: 0})
    reader.pause(first)
    fetched = await reader.fetch(max_wait_s=DEADLINE_S)
    assert set(fetched) == {second}
    assert await reader.fetch(max_wait_s=0.3) == {}
    assert reader.position(first) == 0
    reader.resume(first)
    assert len((await reader.fetch(max_wait_s=DEADLINE_S))[first].records) == 3


async def test_lag_counts_from_the_position_to_the_end(world: LogWorld) -> None:
    tp, writer, reader = TopicPartition(await world.topic(), 0), await world.writer(), await world.reader()
    await writer.append(tp, _batch(0, 10), deadline_s=DEADLINE_S)
    reader.assign({tp: 2})
    await reader.fetch(max_wait_s=DEADLINE_S, max_records=3)
    assert reader.lag(tp) == 5


async def test_a_partition_that_is_not_assigned_is_an_error(world: LogWorld) -> None:
    reader, tp = await world.reader(), TopicPartition("never-assigned", 0)
    for call in (reader.position, reader.pause, reader.resume, reader.lag):
        with pytest.raises(KeyError):
            call(tp)


async def test_ends_of_partitions(world: LogWorld) -> None:
    tp = TopicPartition(await world.topic(), 0)
    writer, reader, admin = await world.writer(), await world.reader(), await world.admin()
    await writer.append(tp, _batch(0, 5), deadline_s=DEADLINE_S)
    await admin.delete_records({tp: 2})
    assert await reader.end_offsets([tp], deadline_s=DEADLINE_S) == {tp: 5}
    assert await reader.beginning_offsets([tp], deadline_s=DEADLINE_S) == {tp: 2}
    with pytest.raises(LogUnavailable):
        await reader.end_offsets([TopicPartition("no-such-topic", 0)], deadline_s=0.5)


@pytest.mark.parametrize("position", [0, 9])
async def test_a_position_outside_the_log_is_never_reset(world: LogWorld, position: int) -> None:
    tp = TopicPartition(await world.topic(), 0)
    writer, reader, admin = await world.writer(), await world.reader(), await world.admin()
    await writer.append(tp, _batch(0, 5), deadline_s=DEADLINE_S)
    await admin.delete_records({tp: 2})
    reader.assign({tp: position})
    for _ in range(2):
        with pytest.raises(PositionOutOfRange) as failure:
            await reader.fetch(max_wait_s=DEADLINE_S)
        assert failure.value.fix
    assert reader.position(tp) == position
    reader.assign({tp: 2})
    assert [r.offset for r in (await reader.fetch(max_wait_s=DEADLINE_S))[tp].records] == [2, 3, 4]


async def test_a_failed_append_ends_the_partition_until_it_is_recreated(world: LogWorld) -> None:
    topic = await world.topic(2)
    tp, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    writer, reader = await world.writer(max_batch_bytes=20_000), await world.reader()
    assert await writer.append(tp, _batch(0, 1), deadline_s=DEADLINE_S) == 0
    with pytest.raises(AppendTooLarge):
        await writer.append(tp, Batch([None], [_noise(30_000)]), deadline_s=DEADLINE_S)
    assert writer.failed(tp)
    assert not writer.failed(other)
    with pytest.raises(AppendRefused):
        await writer.append(tp, _batch(1, 1), deadline_s=DEADLINE_S)
    assert await writer.append(other, _batch(0, 1), deadline_s=DEADLINE_S) == 0
    await writer.recreate(tp, deadline_s=DEADLINE_S)
    assert await writer.append(tp, _batch(2, 1), deadline_s=DEADLINE_S) == 1
    found = await read_all(reader, [tp])
    assert [record.value for record in found[tp]] == [b"v0", b"v2"]


async def test_those_waiting_behind_a_failed_append_are_refused(world: LogWorld) -> None:
    tp, writer = TopicPartition(await world.topic(), 0), await world.writer(max_batch_bytes=20_000)
    large = Batch([None], [_noise(30_000)])
    outcomes = await asyncio.gather(
        writer.append(tp, large, deadline_s=DEADLINE_S),
        *(writer.append(tp, _batch(n, 1), deadline_s=DEADLINE_S) for n in range(3)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [AppendTooLarge, *[AppendRefused] * 3]
    assert writer.bytes_in_flight == 0


async def test_a_missing_topic_is_refused_by_the_deadline(world: LogWorld) -> None:
    writer, tp = await world.writer(), TopicPartition("no-such-topic", 0)
    with pytest.raises(AppendRefused):
        await writer.append(tp, _batch(0, 1), deadline_s=0.5)


async def test_a_stopped_writer_refuses(world: LogWorld) -> None:
    tp, writer = TopicPartition(await world.topic(), 0), await world.writer()
    await writer.stop()
    with pytest.raises(AppendRefused):
        await writer.append(tp, _batch(0, 1), deadline_s=DEADLINE_S)


async def test_append_all_splits_in_order_and_tells_every_offset(world: LogWorld) -> None:
    tp = TopicPartition(await world.topic(), 0)
    writer, reader = await world.writer(split_bytes=1_000), await world.reader()
    await writer.append(tp, _batch(0, 2), deadline_s=DEADLINE_S)
    values = [b"%03d" % n * 50 for n in range(40)]
    offsets = await writer.append_all(tp, Batch([None] * 40, values), deadline_s=DEADLINE_S)
    assert offsets == list(range(2, 42))
    assert [record.value for record in (await read_all(reader, [tp]))[tp]][2:] == values


async def test_append_all_that_fails_in_the_middle_is_unknown(world: LogWorld) -> None:
    tp = TopicPartition(await world.topic(), 0)
    writer = await world.writer(split_bytes=1_000, max_batch_bytes=20_000)
    batch = Batch([None, None], [b"small", _noise(30_000)])
    with pytest.raises(AppendUnknown):
        await writer.append_all(tp, batch, deadline_s=DEADLINE_S)


async def test_two_writers_interleave_without_losing_order_or_offsets(world: LogWorld) -> None:
    tp, reader = TopicPartition(await world.topic(), 0), await world.reader()
    told: dict[int, bytes] = {}

    async def write(name: bytes) -> None:
        writer = await world.writer()
        for n in range(30):
            base = await writer.append(tp, Batch([name], [b"%d" % n]), deadline_s=DEADLINE_S)
            told[base] = name + b"%d" % n

    await asyncio.gather(write(b"a"), write(b"b"))
    found = (await read_all(reader, [tp]))[tp]
    assert {r.offset: (r.key or b"") + (r.value or b"") for r in found} == told
    for name in (b"a", b"b"):
        assert [r.value for r in found if r.key == name] == [b"%d" % n for n in range(30)]


async def test_the_batcher_tells_every_request_its_exact_offsets(world: LogWorld) -> None:
    topic = await world.topic(3)
    writer, reader = await world.writer(), await world.reader()
    batcher = Batcher(writer, topic, 3, max_records=40, linger_s=0.002)
    told: dict[tuple[int, int], bytes] = {}

    async def request(number: int) -> None:
        values = [b"%d-%d" % (number, n) for n in range(number % 17 + 1)]
        partitions = [(number + n) % 3 for n in range(len(values))]
        headers = [[("i", b"%d" % n)] for n in range(len(values))]
        offsets = await batcher.add(partitions, [None] * len(values), values, headers)
        assert len(offsets) == len(values)
        told.update(zip(zip(partitions, offsets, strict=True), values, strict=True))

    for _ in range(3):
        await asyncio.gather(*(request(number) for number in range(100)))
    assert batcher.bytes_in_flight == 0
    assert await batcher.close(deadline_s=DEADLINE_S)
    found = await read_all(reader, [TopicPartition(topic, p) for p in range(3)])
    assert {(tp.partition, r.offset): r.value for tp, records in found.items() for r in records} == told


async def test_the_batcher_fails_the_right_requests_and_goes_on(world: LogWorld) -> None:
    topic = await world.topic(2)
    writer, reader = await world.writer(max_batch_bytes=20_000), await world.reader()
    batcher = Batcher(writer, topic, 2, linger_s=0.001)
    bad = batcher.add([0, 1], [None, None], [_noise(30_000), b"neighbour"], [[], []])
    good = batcher.add([1], [None], [b"good"], [[]])
    with pytest.raises(AppendRefused):
        await bad
    assert await good == [1]
    assert await batcher.add([0], [None], [b"later"], [[]]) == [0]
    assert await batcher.close(deadline_s=DEADLINE_S)
    found = await read_all(reader, [TopicPartition(topic, p) for p in range(2)])
    assert [[r.value for r in records] for records in found.values()] == [[b"later"], [b"neighbour", b"good"]]


async def test_the_batcher_is_bounded_and_refuses_after_its_end(world: LogWorld) -> None:
    batcher = Batcher(await world.writer(), await world.topic(1), 1, max_bytes_in_flight=100)
    first = batcher.add([0], [None], [b"x" * 80], [[]])
    assert batcher.bytes_in_flight == 80
    with pytest.raises(AppendRefused):
        await batcher.add([0], [None], [b"x" * 21], [[]])
    assert await batcher.close(deadline_s=DEADLINE_S)
    assert await first == [0]
    with pytest.raises(AppendRefused):
        await batcher.add([0], [None], [b"x"], [[]])


async def test_topics_are_created_once_and_described(world: LogWorld) -> None:
    admin, name = await world.admin(), await world.topic(3, retention_ms="1234567")
    spec = TopicSpec(name, 5, 1, {})
    assert await admin.create_topics([spec]) == frozenset()
    described = (await admin.describe([name, "no-such-topic"]))[name]
    assert (described.name, described.partitions, described.replication) == (name, 3, 1)
    assert (await admin.configs([name, "no-such-topic"]))[name]["retention.ms"] == "1234567"
    assert await admin.cluster_id() == await (await world.admin()).cluster_id()
    assert await admin.describe(["no-such-topic"]) == {}


async def test_a_topic_made_anew_has_another_id(world: LogWorld) -> None:
    admin, name = await world.admin(), await world.topic()
    before = (await admin.describe([name]))[name].topic_id
    await admin.delete_topics([name, "no-such-topic"])
    while not await admin.create_topics([TopicSpec(name, 1)]):
        """Brokers delete in the background; until then the topic counts as existing."""
    assert (await admin.describe([name]))[name].topic_id != before


async def test_an_impossible_topic_is_refused(world: LogWorld) -> None:
    with pytest.raises(TopicRefused):
        await (await world.admin()).create_topics([TopicSpec("impossible", 0)])


async def test_the_public_consumer_reads_the_same(stack: LocalStack) -> None:
    """The pinned client's own way of reading agrees with the reader, across batches, headers and compression."""
    async with log_world(KafkaConnection(stack.endpoints.kafka_bootstrap)) as world:
        tp, writer, reader = (
            TopicPartition(await world.topic(), 0),
            await world.writer(),
            await world.reader(),
        )
        for n in range(20):
            batch = Batch([b"k%d" % n] * 50, [_noise(n * 31)] * 50, [[("h", b"%d" % n)]] * 50)
            await writer.append(tp, batch, deadline_s=DEADLINE_S)
        ours = (await read_all(reader, [tp]))[tp]
        theirs: list[Any] = []
        async with AIOKafkaConsumer(bootstrap_servers=stack.endpoints.kafka_bootstrap) as consumer:
            client_tp = ClientPartition(tp.topic, 0)
            consumer.assign([client_tp])
            consumer.seek(client_tp, 0)
            while len(theirs) < 1000:
                theirs += (await consumer.getmany(client_tp, timeout_ms=1000)).get(client_tp, [])
        assert rows(ours) == [(r.offset, r.key, r.value, list(r.headers)) for r in theirs]
        assert [r.timestamp for r in ours] == [r.timestamp for r in theirs]


def _noise(size: int) -> bytes:
    """Bytes that do not compress, the same in every run."""
    state, out = 12345, bytearray()
    while len(out) < size:
        state = (state * 1_103_515_245 + 12_345) % 2**31
        out += state.to_bytes(4, "big")[1:]
    return bytes(out[:size])
