"""What the in-memory log adds to the contract: time and faults from outside."""

import pytest

from headrace_runtime.errors_log import AppendRefused, AppendUnknown
from headrace_runtime.memory_log import AppendFault, MemoryLog, MemoryLogReader, MemoryLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition, TopicSpec

TP = TopicPartition("t", 0)


def _batch(value: bytes) -> Batch:
    return Batch([None], [value])


async def _log() -> tuple[MemoryLog, MemoryLogWriter]:
    log = MemoryLog(now_ms=iter(range(1000, 2000)).__next__)
    log.create(TopicSpec("t", 1))
    writer = MemoryLogWriter(log)
    await writer.start()
    return log, writer


@pytest.mark.parametrize(
    ("fault", "error", "values"),
    [
        (AppendFault(appended=False, answered=True), AppendRefused, [b"after"]),
        (AppendFault(appended=False), AppendUnknown, [b"after"]),
        (AppendFault(appended=True), AppendUnknown, [b"faulty", b"after"]),
    ],
)
async def test_planted_faults_decide_what_lands_and_what_is_told(
    fault: AppendFault, error: type[Exception], values: list[bytes]
) -> None:
    log, writer = await _log()
    log.faults[TP].append(fault)
    with pytest.raises(error):
        await writer.append(TP, _batch(b"faulty"), deadline_s=1.0)
    with pytest.raises(AppendRefused):
        await writer.append(TP, _batch(b"ended"), deadline_s=1.0)
    await writer.recreate(TP, deadline_s=1.0)
    assert await writer.append(TP, _batch(b"after"), deadline_s=1.0) == len(values) - 1
    reader = MemoryLogReader(log)
    reader.assign({TP: 0})
    records = (await reader.fetch(max_wait_s=1.0))[TP].records
    assert [record.value for record in records] == values


async def test_append_times_come_from_outside() -> None:
    log, writer = await _log()
    for value in (b"a", b"b"):
        await writer.append(TP, _batch(value), deadline_s=1.0)
    reader = MemoryLogReader(log)
    reader.assign({TP: 0})
    assert [r.timestamp for r in (await reader.fetch(max_wait_s=1.0))[TP].records] == [1000, 1001]


async def test_holes_move_the_end_and_are_skipped() -> None:
    log, writer = await _log()
    log.add_hole(TP, 3)
    assert await writer.append(TP, _batch(b"v"), deadline_s=1.0) == 3
