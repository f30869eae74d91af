"""Positions and data read ahead: whatever the order of answers, takes and assignments, no record is lost or repeated."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.kafka.batch_codec import BatchEncoder, BatchFormatError, seal_batch
from headrace_runtime.kafka.fetching import FetchState, FetchVerdict, verdict_of
from headrace_runtime.ports_log import Batch, TopicPartition

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def _log(sizes: list[int]) -> list[tuple[int, bytes]]:
    """Batches of these sizes as (end offset, bytes)."""
    log, base = [], 0
    for size in sizes:
        encoded = BatchEncoder().encode(Batch([None] * size, [b"%d" % n for n in range(base, base + size)]))
        data = seal_batch(encoded, timestamp_ms=1, producer_id=1, producer_epoch=0, sequence=0)
        log.append((base + size, base.to_bytes(8, "big") + data[8:]))
        base += size
    return log


def _answer(log: list[tuple[int, bytes]], offset: int, batches: int) -> bytes:
    """What a broker returns: whole batches from the one that holds the offset on."""
    return b"".join([data for end, data in log if end > offset][:batches])


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    start=st.integers(0, 20),
    steps=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 12), st.booleans()), min_size=1, max_size=40),
)
def test_every_record_from_the_position_on_is_taken_once_in_order(
    sizes: list[int], start: int, steps: list[tuple[int, int, bool]]
) -> None:
    log, end = _log(sizes), sum(sizes)
    start = min(start, end)
    state = FetchState()
    state.assign({A: start})
    seen: list[int] = []
    for batches, limit, pause in [*steps, *[(3, 100, False)] * end]:
        state.set_paused(A, pause)
        for tp, offset in state.wanted().items():
            state.store(
                tp, epoch=state.epoch, requested=offset, data=_answer(log, offset, batches), end_offset=end
            )
        taken = state.take(limit)
        assert not (pause and taken)
        for part in taken.values():
            assert len(part.records) <= limit
            seen += [record.offset for record in part.records]
            assert part.next_offset == state.position(A) == seen[-1] + 1
    assert seen == list(range(start, end))


def test_answers_to_an_older_assignment_or_position_are_void() -> None:
    log, state = _log([3, 3]), FetchState()
    state.assign({A: 0})
    epoch = state.epoch
    state.assign({A: 3})
    state.store(A, epoch=epoch, requested=0, data=_answer(log, 0, 2), end_offset=6)
    state.store(A, epoch=epoch, requested=3, data=_answer(log, 3, 2), end_offset=6)
    state.store(A, epoch=state.epoch, requested=0, data=_answer(log, 0, 2), end_offset=6)
    state.store(B, epoch=state.epoch, requested=0, data=_answer(log, 0, 2), end_offset=6)
    state.fail(A, FetchVerdict.OUT_OF_RANGE, epoch=epoch, requested=0)
    assert not state.has_data()
    assert state.problems() == {}
    assert state.wanted() == {A: 3}


def test_a_partition_whose_data_was_not_taken_is_not_fetched_again() -> None:
    log, state = _log([3]), FetchState()
    state.assign({A: 0, B: 0})
    state.store(A, epoch=state.epoch, requested=0, data=_answer(log, 0, 1), end_offset=3)
    assert state.wanted() == {B: 0}
    assert state.take(2)[A].next_offset == 2
    assert state.wanted() == {B: 0}
    assert state.take(2)[A].next_offset == 3
    assert state.wanted() == {A: 3, B: 0}


def test_a_small_limit_serves_partitions_in_turn() -> None:
    log, state = _log([4]), FetchState()
    state.assign({A: 0, B: 0})
    for tp in (A, B):
        state.store(tp, epoch=state.epoch, requested=0, data=_answer(log, 0, 1), end_offset=4)
    turns = [next(iter(state.take(1))) for _ in range(4)]
    assert turns == [A, B, A, B]


def test_a_problem_stays_until_the_next_assignment() -> None:
    state = FetchState()
    state.assign({A: 7, B: 0})
    state.fail(A, FetchVerdict.OUT_OF_RANGE, epoch=state.epoch, requested=7)
    assert state.problems() == {A: FetchVerdict.OUT_OF_RANGE}
    assert state.wanted() == {B: 0}
    state.assign({A: 0})
    assert state.problems() == {}


def test_damaged_bytes_are_dropped_and_fetched_again() -> None:
    data = bytearray(_log([3])[0][1])
    data[-1] ^= 1
    state = FetchState()
    state.assign({A: 0})
    state.store(A, epoch=state.epoch, requested=0, data=bytes(data), end_offset=3)
    with pytest.raises(BatchFormatError):
        state.take(10)
    assert (state.position(A), state.wanted()) == (0, {A: 0})


def test_what_is_not_assigned_is_an_error() -> None:
    state = FetchState()
    for call in (state.position, state.end_offset):
        with pytest.raises(KeyError):
            call(A)
    with pytest.raises(KeyError):
        state.set_paused(A, True)


def test_only_known_codes_stop_a_partition() -> None:
    stops = {code for code in range(-1, 120) if verdict_of(code) is not FetchVerdict.RETRY}
    assert stops == {0, 1, 29, 31}


def test_end_offsets_are_those_of_the_last_answer() -> None:
    state, ends = FetchState(), count(5)
    state.assign({A: 0})
    assert state.end_offset(A) == -1
    for _ in range(2):
        state.store(A, epoch=state.epoch, requested=0, data=b"", end_offset=next(ends))
    assert state.end_offset(A) == 6
