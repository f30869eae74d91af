"""An answer waits for ends that were read after it was asked for, shares them with others, and does not wait for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from headrace_api.census import Census
from headrace_api.ends import LogEnds
from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_runtime.memory_log import MemoryLog, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec

_RAW = TopicPartition(EVENTS_RAW.name, 0)
_QUARANTINE = TopicPartition(EVENTS_QUARANTINE.name, 0)
_DEADLINE_S = 10.0


class _HeldReader(MemoryLogReader):
    """A log that takes its time: it looks at the ends at once, and tells them when it is let go."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.looked, self.go = asyncio.Event(), asyncio.Event()
        self.asked = 0

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        self.asked += 1
        found = await super().end_offsets(partitions, deadline_s=deadline_s)
        self.looked.set()
        await self.go.wait()
        return found


def _log() -> MemoryLog:
    log = MemoryLog()
    for tp in (_RAW, _QUARANTINE):
        log.create(TopicSpec(tp.topic, 1))
    return log


async def _append(log: MemoryLog, tp: TopicPartition) -> None:
    writer = MemoryLogWriter(log)
    await writer.start()
    await writer.append(tp, Batch([None], [b"x"]), deadline_s=_DEADLINE_S)


async def test_the_ends_of_both_topics_come_into_the_census() -> None:
    log, census = _log(), Census(1, keep_records=10, keep_minutes=10)
    await _append(log, _RAW)
    ends = LogEnds(MemoryLogReader(log), census)
    assert await ends.known()
    assert (census.raw_beginnings, census.raw_ends, census.quarantine_ends) == ({0: 0}, {0: 1}, {0: 0})
    assert census.counts(1, current=True).in_flight["undecided"] == 1
    await _append(log, _QUARANTINE)
    assert await ends.known()
    assert census.counts(1, current=True).in_flight["uncounted"] == 1


async def test_ends_read_before_the_question_are_no_answer_and_those_after_it_are_shared() -> None:
    log, census = _log(), Census(1, keep_records=10, keep_minutes=10)
    reader = _HeldReader(log)
    ends = LogEnds(reader, census)
    before = asyncio.create_task(ends.known())
    await reader.looked.wait()
    await _append(log, _RAW)  # acknowledged after the brokers were asked, before the next questions
    after = [asyncio.create_task(ends.known()) for _ in range(5)]
    await asyncio.sleep(0)
    reader.go.set()
    assert all(await asyncio.gather(before, *after))
    assert census.raw_ends == {0: 1}
    assert reader.asked == 2


async def test_a_log_without_an_answer_leaves_the_ends_as_they_were() -> None:
    log, census = MemoryLog(), Census(1, keep_records=10, keep_minutes=10)
    census.raw_ends = {0: 7}
    assert not await LogEnds(MemoryLogReader(log), census).known()
    assert census.raw_ends == {0: 7}
