"""Figure of the role `stage`: clean events from Kafka to Parquet on S3, until a manifest covers every one of them."""

from __future__ import annotations

from benchmarks.measure import Figure, Sample, cpu_seconds, interleave
from benchmarks.ordinary.stage import PREFIX, TOPIC
from benchmarks.records import CleanRecords
from benchmarks.stand import PARTITIONS, Feed, Stand, stand, until
from headrace_core.manifest import decode_manifest
from headrace_core.paths import manifest_key
from headrace_core.topics import EVENTS_CLEAN
from headrace_local.processes import ServiceProcess
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings

__all__ = ["STAGE_PARQUET", "store_of"]

_PER_PARTITION = 10_000
_ORDINARY_PER_PARTITION = 4_000
_WITHIN_S = 180.0
_STORE_S = 30.0


def store_of(stack_environment: dict[str, str]) -> S3ObjectStore:
    """The stack's object store."""
    names = {name.removeprefix("HEADRACE_").lower(): value for name, value in stack_environment.items()}
    return S3ObjectStore(StoreSettings.model_validate(names))


class _Ours:
    """The service. Its cuts are at exactly a round's rows per partition, so that no round waits for a cut by age."""

    def __init__(self, feed: Feed, process: ServiceProcess, store: S3ObjectStore) -> None:
        self._feed, self._process, self._store = feed, process, store
        self._records = CleanRecords()
        self._round = 0

    async def run(self) -> Sample:
        taken = self._records.take(_PER_PARTITION)
        prepared = {partition: CleanRecords.rows(events) for partition, events in taken.items()}
        keys = [manifest_key("events", partition, self._round * _PER_PARTITION) for partition in taken]
        self._round += 1
        before = cpu_seconds(self._process.pid)
        await self._feed.append(EVENTS_CLEAN.name, prepared)
        waiting = set(keys)

        async def is_done() -> bool:
            for key in list(waiting):
                if not await self._store.exists(key, deadline_s=_STORE_S):
                    return False
                waiting.discard(key)
            return True

        await until(is_done, within_s=_WITHIN_S, what="manifests cover the round")
        sample = Sample(_PER_PARTITION * PARTITIONS, cpu_seconds(self._process.pid) - before)
        await self._check(keys)
        return sample

    async def _check(self, keys: list[str]) -> None:
        for key in keys:
            rows = decode_manifest(await self._store.get(key, deadline_s=_STORE_S)).rows
            if rows != _PER_PARTITION:
                raise RuntimeError(f"{key} covers {rows} rows instead of {_PER_PARTITION}")


class _Ordinary:
    """The alternative; the names of its objects say how many rows each has."""

    def __init__(self, feed: Feed, process: ServiceProcess, store: S3ObjectStore) -> None:
        self._feed, self._process, self._store = feed, process, store
        self._records = CleanRecords()
        self._expected = 0

    async def run(self) -> Sample:
        taken = self._records.take(_ORDINARY_PER_PARTITION)
        prepared = {partition: CleanRecords.rows(events) for partition, events in taken.items()}
        count = _ORDINARY_PER_PARTITION * PARTITIONS
        self._expected += count
        before = cpu_seconds(self._process.pid)
        await self._feed.append(TOPIC, prepared)
        await until(self._is_done, within_s=_WITHIN_S, what="objects hold the round")
        return Sample(count, cpu_seconds(self._process.pid) - before)

    async def _is_done(self) -> bool:
        found = await self._store.list(PREFIX, deadline_s=_STORE_S)
        return (
            sum(int(each.key.rpartition("-")[2].removesuffix(".parquet")) for each in found) >= self._expected
        )


async def _sides(bench: Stand) -> tuple[_Ours, _Ordinary]:
    store = store_of(bench.stack.environment())
    cut = {"HEADRACE_STAGE_CUT_ROWS": str(_PER_PARTITION)}
    ours = await bench.service("stage", ["headrace_loader", "stage"], cut)
    ordinary = await bench.ordinary("ordinary", ["benchmarks.ordinary.stage"])
    return _Ours(bench.feed, ours, store), _Ordinary(bench.feed, ordinary, store)


async def _measure(rounds: int) -> tuple[list[float], list[float]]:
    async with stand(TOPIC) as bench:
        ours, ordinary = await _sides(bench)
        return await interleave(ours.run, ordinary.run, rounds=rounds)


STAGE_PARQUET = Figure(
    "stage_parquet",
    "loader",
    "events/s/core",
    ">= 50,000",
    "getmany, orjson.loads, Table.from_pylist, write_table with defaults, one put per file",
    _measure,
)
"""Kafka to Parquet on S3, all columns."""
