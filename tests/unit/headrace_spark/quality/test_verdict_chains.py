"""Which files of verdicts are of a day, and how often their chains are read."""

from headrace_core.manifest import File, Manifest, encode_manifest
from headrace_core.paths import manifest_key
from headrace_runtime.memory_store import MemoryObjectStore
from headrace_spark.quality.verdict_chains import VerdictChains

_DAY_MS = 86_400_000
_START_MS = 20_000 * _DAY_MS


class _Counting(MemoryObjectStore):
    """Counts the lists of keys."""

    lists = 0

    async def list(self, prefix: str, **options: object):  # type: ignore[no-untyped-def]
        self.lists += 1
        return await super().list(prefix, **options)  # type: ignore[arg-type]


async def _chain(store: MemoryObjectStore, *appended_ms: tuple[int, int]) -> None:
    for at, (first, last) in enumerate(appended_ms):
        made = Manifest(
            kind="verdicts",
            cluster_id="c",
            topic_id="t",
            topic="dedup.index",
            partition=0,
            start=at,
            end=at + 1,
            rows=1,
            files=(File(key=f"file-{at}", rows=1, bytes=1, sha256=""),),
            first_append_ms=_START_MS + first,
            last_append_ms=_START_MS + last,
            schema_version=1,
            writer="w",
            created_ms=1,
        )
        await store.put(manifest_key("verdicts", 0, at), encode_manifest(made), deadline_s=1)


async def test_files_are_of_a_day_whose_blocks_they_may_hold() -> None:
    store = MemoryObjectStore()
    await _chain(store, (-9, -1), (-1, 0), (5, 6), (_DAY_MS - 1, _DAY_MS), (_DAY_MS, _DAY_MS))
    chains = VerdictChains(store, 1)
    assert await chains.keys(_START_MS, deadline_s=1) == ["file-1", "file-2", "file-3"]
    assert await chains.keys(_START_MS + _DAY_MS, deadline_s=1) == ["file-3", "file-4"]
    assert await chains.keys(_START_MS + 9 * _DAY_MS, deadline_s=1) == []


async def test_the_chains_are_read_once_for_all_days() -> None:
    store = _Counting()
    await _chain(store, (0, 1))
    chains = VerdictChains(store, 3)
    for day in range(4):
        await chains.keys(_START_MS + day * _DAY_MS, deadline_s=1)
    assert store.lists == 3
