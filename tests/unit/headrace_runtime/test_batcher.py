"""The batcher with a writer whose answers the test controls."""

import asyncio
from dataclasses import dataclass, field

import pytest

from headrace_core.errors import Bug
from headrace_runtime.errors_log import AppendRefused, AppendUnknown
from headrace_runtime.kafka.batcher import Batcher
from headrace_runtime.ports_log import Batch, TopicPartition

LONG_S = 60.0


@dataclass
class HeldWriter:
    """A writer that answers when told; one pending append per partition is all it allows."""

    pending: dict[int, tuple[Batch, asyncio.Future[int]]] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    recreated: list[int] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    bytes_in_flight: int = 0

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """Nothing to start."""

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """Nothing to stop."""

    async def append(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> int:
        """Hold the batch until `answer`."""
        assert tp.partition not in self.pending, "two batches of one partition at once"
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pending[tp.partition] = (batch, answer)
        self.arrived.set()
        try:
            return await answer
        except AppendUnknown:
            self.broken.add(tp.partition)
            raise

    async def append_all(self, tp: TopicPartition, batch: Batch, *, deadline_s: float) -> list[int]:
        """Not used by the batcher."""
        raise NotImplementedError

    def failed(self, tp: TopicPartition) -> bool:
        """Whether an append ended without an answer."""
        return tp.partition in self.broken

    async def recreate(self, tp: TopicPartition | None = None, *, deadline_s: float) -> None:
        """Count it."""
        assert tp is not None
        self.broken.discard(tp.partition)
        self.recreated.append(tp.partition)

    async def next(self, partition: int) -> list[bytes | None]:
        """Values of the batch that waits for its answer."""
        while partition not in self.pending:
            self.arrived.clear()
            await self.arrived.wait()
        return list(self.pending[partition][0].values)

    def answer(self, partition: int, outcome: int | Exception) -> None:
        """End the pending append."""
        _, answer = self.pending.pop(partition)
        if isinstance(outcome, int):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)


def _add(batcher: Batcher, *places: tuple[int, bytes]) -> asyncio.Future[list[int]]:
    return batcher.add(
        [p for p, _ in places], [None] * len(places), [v for _, v in places], [[]] * len(places)
    )


def _unknown() -> AppendUnknown:
    return AppendUnknown("unknown")


async def test_a_full_batch_leaves_without_linger() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 2, max_records=2, linger_s=LONG_S)
    first, second = _add(batcher, (0, b"a")), _add(batcher, (1, b"x"), (0, b"b"), (0, b"c"))
    assert await writer.next(0) == [b"a", b"b"]
    assert 1 not in writer.pending
    writer.answer(0, 40)
    assert await first == [40]
    assert not second.done()
    await batcher.close(deadline_s=0)


async def test_a_batch_is_closed_by_bytes() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 1, max_bytes=10, linger_s=LONG_S)
    futures = [_add(batcher, (0, b"x" * 6)), _add(batcher, (0, b"y" * 6)), _add(batcher, (0, b"z"))]
    assert await writer.next(0) == [b"x" * 6, b"y" * 6]
    await batcher.close(deadline_s=0)
    assert all(future.done() for future in futures)
    assert all(future.exception() for future in futures)


async def test_the_next_batch_grows_while_one_is_under_way() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 1, linger_s=0.0)
    first = _add(batcher, (0, b"a"))
    assert await writer.next(0) == [b"a"]
    rest = [_add(batcher, (0, b"%d" % n)) for n in range(3)]
    await asyncio.sleep(0.01)
    rest.append(_add(batcher, (0, b"3")))
    writer.answer(0, 0)
    assert await writer.next(0) == [b"0", b"1", b"2", b"3"]
    writer.answer(0, 7)
    assert [await future for future in (first, *rest)] == [[0], [7], [8], [9], [10]]
    assert batcher.bytes_in_flight == 0
    await batcher.close(deadline_s=1.0)


async def test_a_request_over_several_partitions_ends_with_its_last_batch() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 3, linger_s=0.0)
    request = _add(batcher, (2, b"a"), (0, b"b"), (2, b"c"))
    for partition in (0, 2):
        await writer.next(partition)
    writer.answer(0, 5)
    await asyncio.sleep(0.01)
    assert not request.done()
    writer.answer(2, 8)
    assert await request == [8, 5, 9]
    await batcher.close(deadline_s=1.0)


async def test_an_unknown_outcome_outweighs_a_refusal_and_the_writer_is_recreated() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 2, linger_s=0.0)
    request = _add(batcher, (0, b"a"), (1, b"b"))
    for partition in (0, 1):
        await writer.next(partition)
    writer.answer(0, _unknown())
    await asyncio.sleep(0.01)
    assert not request.done(), "the answer waits until nothing of the request is under way"
    writer.answer(1, AppendRefused("refused"))
    with pytest.raises(AppendUnknown):
        await request
    assert writer.recreated == [0]
    later = _add(batcher, (0, b"c"))
    assert await writer.next(0) == [b"c"]
    writer.answer(0, 1)
    assert await later == [1]
    await batcher.close(deadline_s=1.0)


async def test_a_caller_that_goes_away_changes_nothing_for_others() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 1, linger_s=0.0)
    gone, stays = _add(batcher, (0, b"a")), _add(batcher, (0, b"b"))
    gone.cancel()
    assert await writer.next(0) == [b"a", b"b"]
    writer.answer(0, 3)
    assert await stays == [4]
    await batcher.close(deadline_s=1.0)


async def test_drain_waits_for_what_is_under_way_and_says_when_it_is_not_done() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 1, linger_s=LONG_S)
    request = _add(batcher, (0, b"a"))
    assert not await batcher.drain(deadline_s=0.01)
    assert await writer.next(0) == [b"a"]
    draining = asyncio.ensure_future(batcher.drain(deadline_s=LONG_S))
    await asyncio.sleep(0)
    writer.answer(0, 0)
    assert await draining
    assert await request == [0]
    assert await batcher.close(deadline_s=1.0)


@pytest.mark.parametrize(
    ("partitions", "values", "message"),
    [
        ([0], [b"a", b"b"], "length"),
        ([], [], "length"),
        ([0, 2], [b"a", b"b"], "partition"),
        ([-1], [b"a"], "partition"),
    ],
)
async def test_columns_that_do_not_fit_take_nothing(
    partitions: list[int], values: list[bytes], message: str
) -> None:
    batcher = Batcher(HeldWriter(), "t", 2, linger_s=LONG_S)
    with pytest.raises(ValueError, match=message):
        await batcher.add(partitions, [None] * len(partitions), values, [[]] * len(partitions))
    assert batcher.bytes_in_flight == 0
    assert await batcher.close(deadline_s=1.0)


async def test_a_surprise_in_the_writer_ends_the_request_and_not_the_sender() -> None:
    writer = HeldWriter()
    batcher = Batcher(writer, "t", 1, linger_s=0.0)
    surprised = _add(batcher, (0, b"a"))
    await writer.next(0)
    writer.answer(0, TypeError("surprise"))
    with pytest.raises(Bug, match="surprise"):
        await surprised
    later = _add(batcher, (0, b"b"))
    await writer.next(0)
    writer.answer(0, 0)
    assert await later == [0]
    await batcher.close(deadline_s=1.0)
