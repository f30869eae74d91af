"""What runs left behind in the object store: plans, results, and the generations of a day, newest first."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from headrace_core.lake import Generation
from headrace_core.paths import parse_run_key, run_result_key, runs_prefix
from headrace_core.pipeline_run import RunResult, decode_result
from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.planning import DayState
from headrace_spark.ports import PlannedAttempt

__all__ = ["StoreRecords"]

_READS_AT_ONCE = 16

_MOST_GENERATIONS = 1_000
"""Of a day that are walked back: years of dailies, and no endless walk."""


class StoreRecords:
    """`headrace_spark.ports.LakeRecords` over an object store. ``deadline_s`` bounds each request."""

    def __init__(self, store: ObjectStore, *, deadline_s: float) -> None:
        self._store = store
        self._objects = LakeStore(store, deadline_s=deadline_s)
        self._deadline_s = deadline_s

    async def days(self) -> list[str]:
        """See `headrace_spark.ports.LakeRecords`."""
        return await self._objects.days()

    async def state(self, day: str) -> DayState:
        """See `headrace_spark.ports.LakeRecords`."""
        found = await self._objects.read_day(day)
        return DayState(found.pointer, found.generation)

    async def history(self, day: str) -> list[Generation]:
        """See `headrace_spark.ports.LakeRecords`. It ends where retention has been."""
        generation = (await self.state(day)).generation
        history: list[Generation] = []
        while generation is not None and len(history) < _MOST_GENERATIONS:
            history.append(generation)
            generation = await self._generation(generation.previous)
        return history

    async def _generation(self, key: str | None) -> Generation | None:
        if key is None:
            return None
        try:
            return await self._objects.generation(key)
        except ObjectNotFound:
            return None

    async def attempts(self, run: str | None = None) -> list[PlannedAttempt]:
        """See `headrace_spark.ports.LakeRecords`. A run that retention takes away meanwhile has ended and is left out."""
        prefix = runs_prefix() if run is None else f"{runs_prefix()}{run}/"
        entries = await self._store.list(prefix, deadline_s=self._deadline_s)
        keys = {entry.key for entry in entries}
        plans: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for key in sorted(keys):
            place = parse_run_key(key)
            if place is not None and place.plan is not None and place.name == "plan.json":
                plans[place.run, place.attempt].append(place.plan)
        return await self._attempts(plans, keys)

    async def _attempts(
        self, numbers: Mapping[tuple[str, int], Sequence[int]], keys: set[str]
    ) -> list[PlannedAttempt]:
        reads = asyncio.Semaphore(_READS_AT_ONCE)

        async def read(run: str, attempt: int, of_attempt: Sequence[int]) -> PlannedAttempt | None:
            async with reads:
                return await self._attempt(run, attempt, of_attempt, keys)

        found = await asyncio.gather(*(read(*place, plans) for place, plans in numbers.items()))
        return [attempt for attempt in found if attempt is not None]

    async def _attempt(
        self, run: str, attempt: int, numbers: Sequence[int], keys: set[str]
    ) -> PlannedAttempt | None:
        try:
            plans = [await self._objects.plan(run, attempt, number) for number in numbers]
            result = await self._result(run_result_key(run, attempt), keys)
        except ObjectNotFound:
            return None
        succeeded = result is not None and result.outcome == "succeeded"
        failed_ms = None if result is None or succeeded else result.ended_ms
        return PlannedAttempt(run, attempt, tuple(plans), succeeded, failed_ms)

    async def _result(self, key: str, keys: set[str]) -> RunResult | None:
        if key not in keys:
            return None
        return decode_result(await self._store.get(key, deadline_s=self._deadline_s))
