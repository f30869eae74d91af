"""Which days' verdicts are sorted, when again, and what becomes of the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from headrace_core.clock import ManualClock
from headrace_core.errors import BadData, RetryLater
from headrace_core.manifest import File, Manifest, encode_manifest
from headrace_core.paths import manifest_key, object_key, verdict_index_key
from headrace_core.verdict_index import VerdictFile, decode_verdict_index
from headrace_runtime.memory_store import MemoryObjectStore, WriteFault
from headrace_spark.settling import RunIdentity
from headrace_spark.verdict_days import DayVerdicts, VerdictSorting, closed_verdict_days, sort_verdicts

_S = 5.0
_DAY_MS = 86_400_000
_TODAY_MS = 1_788_220_800_000  # 2026-09-01
_D = "2026-08-31"


def _manifest(partition: int, start: int, appended_ms: int, rows: int = 2) -> Manifest:
    key = object_key("verdicts", partition, start, start + 10, appended_ms=appended_ms, nonce="n")
    return Manifest(
        kind="verdicts",
        cluster_id="c",
        topic_id="t",
        topic="dedup.index",
        partition=partition,
        start=start,
        end=start + 10,
        rows=rows,
        files=(File(key=key, rows=rows, bytes=1, sha256=""),) if rows else (),
        first_append_ms=appended_ms,
        schema_version=1,
        writer="w",
        created_ms=appended_ms,
    )


def _closed(*manifests: Manifest, now_ms: int = _TODAY_MS + 3_600_000) -> list[DayVerdicts]:
    chains = {at: [each for each in manifests if each.partition == at] for at in (0, 1)}
    return closed_verdict_days(chains, now_ms=now_ms, kept_days=30)


def test_a_day_is_closed_an_hour_after_it() -> None:
    manifest = _manifest(0, 0, _TODAY_MS - 1)
    assert _closed(manifest, now_ms=_TODAY_MS + 3_600_000 - 1) == []
    [day] = _closed(manifest)
    assert (day.date, day.verdicts, day.chain_ends) == (_D, 2, {"0": 10})


def test_a_manifest_is_of_the_day_of_its_first_block() -> None:
    days = _closed(
        _manifest(0, 0, _TODAY_MS - 2 * _DAY_MS),
        _manifest(0, 10, _TODAY_MS - 2),
        _manifest(0, 20, _TODAY_MS - 1),
        _manifest(0, 30, _TODAY_MS),
        _manifest(1, 0, _TODAY_MS - 1, rows=0),
        _manifest(1, 10, _TODAY_MS - 1, rows=5),
    )
    assert [(day.date, dict(day.rows), day.chain_ends) for day in days] == [
        ("2026-08-30", {0: 2}, {"0": 10}),
        (_D, {0: 4, 1: 5}, {"0": 30, "1": 20}),
    ]
    assert len(days[1].files[0]) == 2


def test_days_whose_files_may_be_gone_are_left_out() -> None:
    manifests = [_manifest(0, at * 10, _TODAY_MS - days * _DAY_MS) for at, days in enumerate((29, 28))]
    assert [day.date for day in _closed(*manifests)] == ["2026-08-04"]


@dataclass
class _World:
    """Chains in memory, and a sorter that does as it is told."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(_TODAY_MS + 7_200_000))
    loses: int = 0
    torn: bool = False
    takes_s: float = 1.0
    sorted: list[str] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        self.store = MemoryObjectStore()

    async def put(self, manifest: Manifest) -> None:
        key = manifest_key("verdicts", manifest.partition, manifest.start)
        await self.store.put(key, encode_manifest(manifest), deadline_s=_S)

    async def sort(self, day: DayVerdicts, prefix: str) -> tuple[Mapping[int, tuple[VerdictFile, ...]], int]:
        self.sorted.append(prefix)
        self.clock.advance(self.takes_s)
        if self.torn:
            raise BadData("A file is torn.", code="file_torn")
        file = VerdictFile(
            key=f"{prefix}p=00/x", rows=2, bytes=1, sha256="", first_id="0" * 32, last_id="f" * 32
        )
        return {0: (file,)}, day.verdicts - self.loses

    async def run(self, *, dry_run: bool = False) -> list[tuple[str, str]]:
        self.runs += 1
        run = RunIdentity("compact", f"c{self.runs}", 1, self.clock.now_ms() + 60_000, dry_run=dry_run)
        job = VerdictSorting(self.store, self, self.clock, partitions=2, deadline_s=_S)
        results = await sort_verdicts(job, run, kept_days=30)
        return [(result.event_date, result.outcome) for result in results]

    async def index_keys(self) -> list[str]:
        data = await self.store.get(verdict_index_key(_D), deadline_s=_S)
        return sorted(decode_verdict_index(data).keys)


async def test_a_day_is_sorted_once_and_again_when_a_manifest_comes_late() -> None:
    world = _World()
    await world.put(_manifest(0, 0, _TODAY_MS - 2))
    assert await world.run() == [(_D, "swapped")]
    assert await world.run() == []
    await world.put(_manifest(0, 10, _TODAY_MS - 1))
    assert await world.run() == [(_D, "swapped")]
    prefixes = [f"verdicts-by-id/date={_D}/gen=c{run}.1.1/" for run in (1, 3)]
    assert world.sorted == prefixes
    assert await world.index_keys() == [f"{prefixes[1]}p=00/x"]


@pytest.mark.parametrize("applied", [True, False])
async def test_a_lost_answer_is_settled(applied: bool) -> None:
    world = _World()
    await world.put(_manifest(0, 0, _TODAY_MS - 2))
    world.store.faults.append(WriteFault(applied=applied))
    if applied:
        assert await world.run() == [(_D, "swapped")]
    else:
        with pytest.raises(Exception, match="no answer"):
            await world.run()
        assert await world.run() == [(_D, "swapped")]


async def test_what_is_lost_or_torn_is_told_and_never_indexed() -> None:
    for world in (_World(loses=1), _World(torn=True)):
        await world.put(_manifest(0, 0, _TODAY_MS - 2))
        assert await world.run() == [(_D, "stopped")]
        assert not await world.store.exists(verdict_index_key(_D), deadline_s=_S)


async def test_a_dry_run_sorts_nothing_and_past_its_time_a_run_swaps_nothing() -> None:
    world = _World(takes_s=61)
    await world.put(_manifest(0, 0, _TODAY_MS - 2))
    assert await world.run(dry_run=True) == [(_D, "planned")]
    assert world.sorted == []
    with pytest.raises(RetryLater):
        await world.run()
    assert not await world.store.exists(verdict_index_key(_D), deadline_s=_S)
