"""The lake in the object store, as the settling of a day sees it: chains and small objects together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from headrace_core.clock import Clock
from headrace_core.lake import Generation, Plan, SeenPointer
from headrace_core.paths import generation_key
from headrace_runtime.manifest_chain import read_chains
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.edges import EdgeSnapshot, encode_edges
from headrace_spark.lake_store import LakeStore
from headrace_spark.planning import DayState, Inputs, chain_ends, files_by_day

__all__ = ["StoreLake", "read_states"]

_READS_AT_ONCE = 16


async def read_states(lake: LakeStore, days: Iterable[str]) -> dict[str, DayState]:
    """Pointer and generation of each day, many at a time."""
    reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def state(day: str) -> tuple[str, DayState]:
        async with reads:
            found = await lake.read_day(day)
        return day, DayState(found.pointer, found.generation)

    return dict(await asyncio.gather(*map(state, days)))


class StoreLake:
    """`headrace_spark.ports.Lake` over an object store. ``deadline_s`` bounds each request."""

    def __init__(self, store: ObjectStore, clock: Clock, *, partitions: int, deadline_s: float) -> None:
        self._store = store
        self._objects = LakeStore(store, deadline_s=deadline_s)
        self._clock = clock
        self._partitions = partitions
        self._deadline_s = deadline_s

    async def inputs(self) -> Inputs:
        """See `headrace_spark.ports.Lake`. Pointers first: a generation that is swapped in while the chains are read makes
        the plan's swap fail, never its input."""
        states = await read_states(self._objects, await self._objects.days())
        chains = await read_chains(self._store, "events", self._partitions, deadline_s=self._deadline_s)
        files = files_by_day(manifest for chain in chains.values() for manifest in chain)
        return Inputs(files, states, chain_ends(chains))

    async def store_plan(self, plan: Plan, edges: EdgeSnapshot) -> None:
        """See `headrace_spark.ports.Lake`. The edges first: a plan that is there names what is there."""
        await self._objects.store_edges(plan.id, encode_edges(edges))
        await self._objects.store_plan(plan)

    async def store_generation(self, generation: Generation) -> None:
        """See `headrace_spark.ports.Lake`."""
        await self._objects.store_generation(generation)

    async def swap(self, generation: Generation, seen: SeenPointer | None) -> int | None:
        """See `headrace_spark.ports.Lake`."""
        key = generation_key(generation.id.run, generation.id.attempt, generation.id.plan)
        return await self._objects.swap(generation.event_date, seen, key, now_ms=self._clock.now_ms())
