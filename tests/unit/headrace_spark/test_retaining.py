"""Retention over a lake in memory: what stays readable, whenever it dies, and what is gone in the end."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import get_args

import msgspec
import pytest
import zstandard

from headrace_core.clock import ManualClock
from headrace_core.errors import BadData
from headrace_core.lake import DayInput, Generation, LakeFile, Plan, PlanId, SeenPointer
from headrace_core.manifest import ChainBase, File, Manifest, decode_base, encode_base, encode_manifest
from headrace_core.paths import (
    ChainKind,
    base_key,
    edges_key,
    export_prefix,
    lake_prefix,
    manifest_key,
    object_key,
    plan_key,
)
from headrace_core.pipeline_run import DayResult, RetentionParameters
from headrace_runtime.errors_store import StoreUnavailable
from headrace_runtime.manifest_chain import read_chains
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.outcome import Attempt, JobOutcome
from headrace_spark.progress import Progress
from headrace_spark.retaining import Retention
from headrace_spark.retention_holdings import HoldingsReader
from headrace_spark.retention_plan import Holdings
from headrace_spark.retention_report import RetentionReport

_DAY_MS = 86_400_000
_S = 5.0
_D = "2026-09-01"
_NOON_US = 1_788_264_000_000_000
_LIMITS = RetentionParameters()
_KINDS: tuple[ChainKind, ...] = get_args(ChainKind)


class _Store(MemoryObjectStore):
    """Dies at the n-th change from now on, before it is made."""

    dies_in: int | None = None

    def _change(self) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                raise StoreUnavailable("The store is gone.", code="store_unavailable")

    async def put(self, key: str, data: bytes, *, deadline_s: float) -> None:
        self._change()
        await super().put(key, data, deadline_s=deadline_s)

    async def put_if_absent(self, key: str, data: bytes, *, deadline_s: float) -> bool:
        self._change()
        return await super().put_if_absent(key, data, deadline_s=deadline_s)

    async def replace_if(self, key: str, data: bytes, *, etag: str, deadline_s: float) -> bool:
        self._change()
        return await super().replace_if(key, data, etag=etag, deadline_s=deadline_s)

    async def delete(self, keys: Collection[str], *, deadline_s: float) -> None:
        for key in keys:
            self._change()
            await super().delete([key], deadline_s=deadline_s)


@dataclass
class _World:
    """A lake whose objects get the time at which they were written."""

    clock: ManualClock = field(default_factory=ManualClock)
    settled: list[str] = field(default_factory=list)
    refuses: bool = False
    runs: int = 0

    def __post_init__(self) -> None:
        self.store = _Store(now_ms=self.clock.now_ms)
        self.lake = LakeStore(self.store, deadline_s=_S)

    def pass_days(self, days: float) -> None:
        self.clock.advance(days * 86_400)

    async def stage(self, kind: ChainKind, start: int, *, nonce: str = "a") -> str:
        key = object_key(kind, 0, start, start + 10, appended_ms=self.clock.now_ms(), nonce=nonce)
        file = File(key=key, rows=1, bytes=4, sha256="", min_event_ts=_NOON_US, max_event_ts=_NOON_US)
        manifest = Manifest(
            kind=kind,
            cluster_id="c",
            topic_id="t",
            topic=kind,
            partition=0,
            start=start,
            end=start + 10,
            max_source_offset=start + 9,
            rows=1,
            files=(file,),
            rows_by_event_date={_D: 1} if kind == "events" else {},
            schema_version=1,
            writer="w",
            created_ms=self.clock.now_ms(),
        )
        await self.store.put(key, b"data", deadline_s=_S)
        await self.store.put(manifest_key(kind, 0, start), encode_manifest(manifest), deadline_s=_S)
        return key

    async def settle(self, day: str) -> DayResult:
        """Make a new generation that contains all that is staged."""
        if self.refuses:
            raise BadData("The gate refuses the day.", code="quality")
        self.settled.append(day)
        self.runs += 1
        chains = await read_chains(self.store, "events", 1, deadline_s=_S)
        keys = tuple(file.key for manifest in chains[0] for file in manifest.files)
        current = await self.lake.read_day(day)
        plan_id = PlanId(run=f"daily-{self.runs}", attempt=1, plan=1)
        now_ms = self.clock.now_ms()
        await self.lake.store_plan(
            Plan(
                id=plan_id,
                job="daily",
                day=DayInput(event_date=day, pointer=current.pointer),
                made_ms=now_ms,
                ends_by_ms=now_ms + 3_600_000,
            )
        )
        await self.store.put(edges_key(plan_id.run, 1, 1), b"edges", deadline_s=_S)
        key = lake_prefix("events", day, plan_id.generation) + "hour=12/part-0.parquet"
        await self.store.put(key, b"lake", deadline_s=_S)
        generation = Generation(
            id=plan_id,
            job="daily",
            event_date=day,
            previous=None if current.pointer is None else current.pointer.result,
            contains=keys,
            tables={"events": (LakeFile(key=key, rows=1, bytes=4, sha256=""),)},
            made_ms=now_ms,
        )
        result = await self.lake.store_generation(generation)
        await self.lake.swap(day, current.pointer, result, now_ms=now_ms)
        return DayResult(event_date=day, outcome="swapped", generation=plan_id.generation)

    async def retain(self, run: str = "retention", *, dry_run: bool = False) -> JobOutcome:
        retention = Retention(
            attempt=Attempt(run, 1, "retention", dry_run, self.clock.now_ms()),
            store=self.store,
            reader=HoldingsReader(self.store, self.clock, partitions=1, deadline_s=_S),
            settle=self.settle,
            progress=Progress(self.clock, io.StringIO(), lambda: None),
            deadline_s=_S,
            check_time=lambda: None,
        )
        return await retention.run(_LIMITS)

    async def keys(self, *folders: str) -> list[str]:
        found = [key for folder in folders for key in await self.store.list(f"{folder}/", deadline_s=_S)]
        return [entry.key for entry in found]


async def _grown() -> _World:
    """A chain of each kind with two manifests of 70 days ago, one of 40 and one of today; three generations of one day; an
    orphan and an old extract."""
    world = _World()
    for start in (0, 10):
        for kind in _KINDS:
            await world.stage(kind, start)
    await world.settle(_D)
    orphan = object_key("events", 0, 10, 20, appended_ms=world.clock.now_ms(), nonce="lost")
    await world.store.put(orphan, b"x", deadline_s=_S)
    await world.store.put(export_prefix("sessions", "x", 1) + "index.json", b"{}", deadline_s=_S)
    for days, start in ((30, 20), (40, 30)):
        world.pass_days(days)
        for kind in _KINDS:
            await world.stage(kind, start)
        if start == 20:
            await world.settle(_D)
    return world


_FOLDERS = ("staged", "raw", "verdicts", "manifests", "lake", "exports", "pointers")


async def test_all_that_is_past_its_time_goes_and_the_rest_stays() -> None:
    world = await _grown()
    outcome = await world.retain()
    assert world.settled == [_D, _D]
    for kind in _KINDS:
        base = decode_base(await world.store.get(base_key(kind, 0), deadline_s=_S))
        assert base == ChainBase(start=20, max_source_offset=19)
        chains = await read_chains(world.store, kind, 1, deadline_s=_S)
        assert [manifest.start for manifest in chains[0]] == [20, 30]
    assert len(await world.keys("staged", "raw", "verdicts")) == 3
    assert await world.keys("exports") == []
    day = await world.lake.read_day(_D)
    assert day.generation is not None
    assert await world.keys("lake") == [day.generation.files("events")[0].key]
    assert outcome.counts == {
        "objects": 20,
        "bytes": outcome.counts["bytes"],
        "expired_objects": 12,
        "expired_bytes": outcome.counts["expired_bytes"],
        "orphan_objects": 1,
        "orphan_bytes": 1,
        "generation_replaced_objects": 1,
        "generation_replaced_bytes": 4,
        "behind_base_objects": 6,
        "behind_base_bytes": 0,
        "bases": 3,
        "days_missing": 0,
        "days_overdue": 0,
    }
    assert (await world.retain("again")).counts["objects"] == 0


async def test_a_dry_run_lists_all_and_touches_nothing() -> None:
    world = await _grown()
    before = await world.keys(*_FOLDERS)
    outcome = await world.retain("dry", dry_run=True)
    assert await world.keys(*_FOLDERS) == before
    summary, deletions = outcome.reports
    report = msgspec.json.decode(await world.store.get(summary, deadline_s=_S), type=RetentionReport)
    assert report.reasons["orphan"].objects == 1
    assert "lost" in report.reasons["orphan"].samples[0]
    listed = zstandard.ZstdDecompressor().decompress(await world.store.get(deletions, deadline_s=_S))
    assert len(listed.splitlines()) == outcome.counts["objects"] == 20
    assert (await world.retain("real")).counts["objects"] == 20


async def test_wherever_it_dies_the_lake_is_whole_and_the_next_run_ends_the_work() -> None:
    whole = await _grown()
    await whole.retain("last")
    wanted = await whole.keys(*_FOLDERS)
    for changes in range(100):
        world = await _grown()
        world.store.dies_in = changes
        try:
            await world.retain("first")
            break
        except StoreUnavailable:
            world.store.dies_in = None
        for kind in _KINDS:
            chain = (await read_chains(world.store, kind, 1, deadline_s=_S))[0]
            assert [manifest.start for manifest in chain][-2:] == [20, 30]
        generation = (await world.lake.read_day(_D)).generation
        assert generation is not None
        assert await world.store.exists(generation.files("events")[0].key, deadline_s=_S)
        await world.retain("last")
        assert await world.keys(*_FOLDERS) == wanted
    assert 20 < changes < 99


async def test_a_day_that_lacks_old_files_is_made_first() -> None:
    world = _World()
    key = await world.stage("events", 0)
    world.pass_days(31)
    outcome = await world.retain()
    assert [day.event_date for day in outcome.days] == world.settled == [_D]
    assert not await world.store.exists(key, deadline_s=_S)


async def test_a_day_that_cannot_be_made_keeps_its_files_and_the_rest_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = _World(refuses=True)
    staged, raw = await world.stage("events", 0), await world.stage("raw", 0)
    world.pass_days(31)
    with pytest.raises(BadData, match="gate refuses"):
        await world.retain()
    assert await world.store.exists(staged, deadline_s=_S)
    assert not await world.store.exists(raw, deadline_s=_S)
    assert "nearly past their time" in caplog.text


async def test_files_that_are_nearly_due_are_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    world = _World()
    await world.stage("events", 0)
    world.pass_days(24)
    assert (await world.retain("early")).counts["days_overdue"] == 0
    world.pass_days(2)
    assert (await world.retain("late")).counts["days_overdue"] == 1
    assert "nearly past their time" in caplog.text
    assert world.settled == []


async def test_a_generation_that_an_undo_takes_back_meanwhile_stays() -> None:
    world = await _grown()
    first, second = [
        await world.lake.generation(f"runs/daily-{number}/attempt=1/plan=1/result.json") for number in (1, 2)
    ]

    class Undoing(HoldingsReader):
        """An undo swaps the first generation in again right after the reading."""

        async def read(self) -> Holdings:
            holdings = await super().read()
            seen = (await world.lake.read_day(_D)).pointer
            assert isinstance(seen, SeenPointer)
            if seen.sequence == 2:
                key = f"runs/{first.id.run}/attempt=1/plan=1/result.json"
                assert await world.lake.swap(_D, seen, key, now_ms=world.clock.now_ms()) == 3
            return holdings

    retention = Retention(
        attempt=Attempt("retention", 1, "retention", False, 0),
        store=world.store,
        reader=Undoing(world.store, world.clock, partitions=1, deadline_s=_S),
        settle=world.settle,
        progress=Progress(world.clock, io.StringIO(), lambda: None),
        deadline_s=_S,
        check_time=lambda: None,
    )
    await retention.run(_LIMITS)
    assert await world.store.exists(first.files("events")[0].key, deadline_s=_S)
    assert await world.store.exists(second.files("events")[0].key, deadline_s=_S)


async def test_a_base_never_goes_back() -> None:
    world = await _grown()
    await world.store.put(
        base_key("raw", 0), encode_base(ChainBase(start=30, max_source_offset=29)), deadline_s=_S
    )
    await world.retain()
    assert decode_base(await world.store.get(base_key("raw", 0), deadline_s=_S)).start == 30
    assert await world.keys("manifests/raw") == [manifest_key("raw", 0, 30), base_key("raw", 0)]


async def test_a_pointer_without_its_generation_stops_everything() -> None:
    world = await _grown()
    await world.store.delete(["runs/daily-2/attempt=1/plan=1/result.json"], deadline_s=_S)
    before = await world.keys(*_FOLDERS)
    with pytest.raises(BadData):
        await world.retain()
    assert await world.keys(*_FOLDERS) == before


async def test_a_plan_that_cannot_be_read_stops_everything() -> None:
    world = await _grown()
    await world.store.put(plan_key("daily-2", 1, 1), b"{", deadline_s=_S)
    before = await world.keys(*_FOLDERS)
    with pytest.raises(BadData):
        await world.retain()
    assert await world.keys(*_FOLDERS) == before
