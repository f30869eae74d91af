"""Gathers what retention decides about: the one reader that lists data prefixes.

The order matters. Runs are read before pointers: a run that had ended by then has swapped, and the pointers show it; one
that had not keeps its files. What begins later is unknown to the decision, and unknown young files stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from headrace_core.clock import Clock
from headrace_core.lake import Generation, Plan, decode_generation, decode_plan
from headrace_core.manifest import Manifest
from headrace_core.paths import (
    ChainKind,
    chain_prefix,
    data_prefix,
    exports_prefix,
    lake_root,
    parse_manifest_key,
    parse_run_key,
    parse_verdicts_by_id_key,
    runs_prefix,
    verdicts_by_id_root,
)
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.manifest_chain import read_base, read_chains
from headrace_runtime.ports_store import ObjectInfo, ObjectStore
from headrace_runtime.verdict_lookup import read_verdict_index
from headrace_spark.lake_store import LakeStore
from headrace_spark.retention_plan import Attempt, Holdings, Object
from headrace_spark.store_lake import read_states

__all__ = ["HoldingsReader"]

_PAGE = 10_000
"""Keys that one deadline is for."""
_LISTINGS_AT_ONCE = 4
_READS_AT_ONCE = 16
_KINDS: tuple[ChainKind, ...] = get_args(ChainKind)


@dataclass(slots=True)
class _AttemptFound:
    plans: list[Plan] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    has_result: bool = False


class HoldingsReader:
    """``deadline_s`` bounds each request. Raises Unavailable, BadData for a chain or pointer that cannot be read: then
    nothing is deleted; ConfigurationError for chains of two logs."""

    def __init__(self, store: ObjectStore, clock: Clock, *, partitions: int, deadline_s: float) -> None:
        self._store = store
        self._clock = clock
        self._partitions = partitions
        self._deadline_s = deadline_s
        self._lake = LakeStore(store, deadline_s=deadline_s)
        self._listings = asyncio.Semaphore(_LISTINGS_AT_ONCE)
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(self) -> Holdings:
        """All that there is now."""
        now_ms = self._clock.now_ms()
        runs = await self._list(runs_prefix())
        attempts = await self._attempts(runs)
        states = await read_states(self._lake, await self._lake.days())
        chains = {kind: await self._chains(kind) for kind in _KINDS}
        behind = await asyncio.gather(
            *(self._behind(kind, partition) for kind in _KINDS for partition in range(self._partitions))
        )
        prefixes = [*(data_prefix(kind) for kind in _KINDS), lake_root(), exports_prefix()]
        listed = await asyncio.gather(*map(self._list, [*prefixes, verdicts_by_id_root()]))
        return Holdings(
            now_ms=now_ms,
            chains=chains,
            states=states,
            attempts=attempts,
            objects=[found for objects in (runs, *listed) for found in objects],
            behind_bases=[found for objects in behind for found in objects],
            verdicts_by_id=await self._verdicts_by_id(listed[-1]),
        )

    async def _verdicts_by_id(self, objects: Sequence[Object]) -> dict[str, frozenset[str]]:
        """What each index names, read after the listing: what it names by now stays."""
        dates = {date for entry in objects if (date := parse_verdicts_by_id_key(entry.key)) is not None}
        indexes = [
            await read_verdict_index(self._store, date, deadline_s=self._deadline_s) for date in sorted(dates)
        ]
        return {index.date: index.keys for index in indexes if index is not None}

    async def _chains(self, kind: ChainKind) -> dict[int, list[Manifest]]:
        return await read_chains(self._store, kind, self._partitions, deadline_s=self._deadline_s)

    async def _behind(self, kind: ChainKind, partition: int) -> list[Object]:
        """Manifests below the chain's base: a run wrote the base and died before it dropped them."""
        base = await read_base(self._store, kind, partition, deadline_s=self._deadline_s)
        found: list[Object] = []
        async for entry in self._pages(chain_prefix(kind, partition), 1_000):
            position = parse_manifest_key(entry.key)
            if base is None or position is None or position.start >= base.start:
                break
            found.append(_object(entry))
        return found

    async def _list(self, prefix: str) -> list[Object]:
        async with self._listings:
            return [_object(entry) async for entry in self._pages(prefix, _PAGE)]

    async def _pages(self, prefix: str, page: int) -> AsyncIterator[ObjectInfo]:
        last: str | None = None
        while True:
            entries = await self._store.list(
                prefix, start_after=last, limit=page, deadline_s=self._deadline_s
            )
            for entry in entries:
                yield entry
            if len(entries) < page:
                return
            last = entries[-1].key

    async def _attempts(self, objects: Sequence[Object]) -> list[Attempt]:
        found: dict[tuple[str, int], _AttemptFound] = {}
        wanted: list[str] = []
        for entry in objects:
            place = parse_run_key(entry.key)
            if place is None:
                continue
            attempt = found.setdefault((place.run, place.attempt), _AttemptFound())
            if place.name == "result.json" and place.plan is None:
                attempt.has_result = True
            elif place.plan is not None and place.name in ("plan.json", "result.json"):
                wanted.append(entry.key)
        await asyncio.gather(*(self._read_into(found, key) for key in wanted))
        return [_attempt(run, number, each) for (run, number), each in found.items()]

    async def _read_into(self, found: dict[tuple[str, int], _AttemptFound], key: str) -> None:
        place = parse_run_key(key)
        assert place is not None
        attempt = found[place.run, place.attempt]
        async with self._reads:
            try:
                data = await self._store.get(key, deadline_s=self._deadline_s)
            except ObjectNotFound:
                return  # an erasure removed what it replaced
        if place.name == "plan.json":
            attempt.plans.append(decode_plan(data))
        else:
            attempt.generations.append(decode_generation(data))


def _object(entry: ObjectInfo) -> Object:
    return Object(entry.key, entry.bytes, entry.modified_ms)


def _attempt(run: str, number: int, found: _AttemptFound) -> Attempt:
    return Attempt(
        run=run,
        attempt=number,
        generations=tuple(found.generations),
        has_result=found.has_result,
        ends_by_ms=max((plan.ends_by_ms for plan in found.plans), default=0),
        reads=frozenset(key for plan in found.plans for key in _reads(plan)),
    )


def _reads(plan: Plan) -> Iterable[str]:
    """The results that a plan's pointers name."""
    for day in (plan.day, *plan.neighbours):
        if day.pointer is not None:
            yield day.pointer.result
    yield from plan.earlier.values()
