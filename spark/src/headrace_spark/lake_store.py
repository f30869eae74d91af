"""The lake's small objects: pointers, plans, generations and results, read and written without Spark (rules B1, B2).

Plans, generations and results are created once and never rewritten; a pointer is swapped with the etag that a plan saw.
A conditional write whose answer was lost is settled by reading the key again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headrace_core.errors import ConfigurationError, UsageError
from headrace_core.lake import (
    Generation,
    Plan,
    PlanId,
    Pointer,
    SeenPointer,
    decode_generation,
    decode_plan,
    decode_pointer,
    encode_lake,
)
from headrace_core.paths import (
    edges_key,
    generation_key,
    parse_pointer_key,
    plan_key,
    pointer_key,
    pointers_prefix,
    run_result_key,
)
from headrace_core.pipeline_run import RunResult, encode_run
from headrace_runtime.errors_store import ObjectNotFound, StoreUnknown
from headrace_runtime.ports_store import ObjectStore

__all__ = ["CurrentDay", "LakeStore"]

_TRIES = 10


@dataclass(frozen=True, slots=True)
class CurrentDay:
    """A day as it is now: its pointer with the etag, and the generation that the pointer names; both None before the
    first."""

    event_date: str
    pointer: SeenPointer | None = None
    generation: Generation | None = None


class LakeStore:
    """Reads and writes the lake's small objects. Every call may raise Unavailable; what is unreadable is BadData."""

    def __init__(self, store: ObjectStore, *, deadline_s: float, retry_pause_s: float = 0.05) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._retry_pause_s = retry_pause_s

    async def read_day(self, event_date: str) -> CurrentDay:
        """Pointer and generation of a day. BadData where the pointer names a generation that is not there."""
        seen = await self._pointer(event_date)
        if seen is None:
            return CurrentDay(event_date)
        return CurrentDay(event_date, seen, await self.generation(seen.result))

    async def generation(self, key: str) -> Generation:
        """The generation that a pointer or another generation names."""
        return decode_generation(await self._store.get(key, deadline_s=self._deadline_s))

    async def plan(self, run: str, attempt: int, number: int) -> Plan:
        """A plan that was stored. Raises ObjectNotFound."""
        return decode_plan(await self._store.get(plan_key(run, attempt, number), deadline_s=self._deadline_s))

    async def days(self) -> list[str]:
        """The dates (YYYY-MM-DD) that have a pointer, oldest first."""
        entries = await self._store.list(pointers_prefix(), deadline_s=self._deadline_s)
        return sorted(date for entry in entries if (date := parse_pointer_key(entry.key)) is not None)

    async def store_plan(self, plan: Plan) -> str:
        """Store a plan; its key. UsageError where the same run and attempt has stored another one."""
        key = plan_key(plan.id.run, plan.id.attempt, plan.id.plan)
        await self._create(key, encode_lake(plan))
        return key

    async def store_edges(self, plan: PlanId, edges: bytes) -> str:
        """Store the edges of a plan that is stored next; their key. UsageError as for plans."""
        key = edges_key(plan.run, plan.attempt, plan.plan)
        await self._create(key, edges)
        return key

    async def store_generation(self, generation: Generation) -> str:
        """Store a generation, which no pointer names yet; its key. UsageError as for plans."""
        key = generation_key(generation.id.run, generation.id.attempt, generation.id.plan)
        await self._create(key, encode_lake(generation))
        return key

    async def store_result(self, result: RunResult) -> str:
        """Store the result of an attempt; its key. UsageError where it has another one."""
        key = run_result_key(result.run, result.attempt)
        await self._create(key, encode_run(result))
        return key

    async def swap(
        self, event_date: str, seen: SeenPointer | None, result: str, *, now_ms: int
    ) -> int | None:
        """Let the day's pointer name ``result``, if it is still the one that was seen; None: there was none.

        The sequence after the swap, or None where another run swapped first. Raises StoreUnknown where the store gives
        no clear answer for long: whoever reads the day then learns what became of it.
        """
        sequence = 1 if seen is None else seen.sequence + 1
        pointer = Pointer(event_date=event_date, sequence=sequence, result=result, swapped_ms=now_ms)
        lost: StoreUnknown | None = None
        for attempt in range(_TRIES):
            try:
                if await self._write_pointer(pointer, seen):
                    return sequence
            except StoreUnknown as error:
                lost = error
                await self._pause(attempt)
            # Refused or unanswered: it may be this very write, of this try or of one before, that is there.
            current = await self._pointer(event_date)
            if current is not None and current.result == result:
                return current.sequence
            if current != seen:
                return None
        raise lost or _contradiction(pointer_key(event_date))

    async def _write_pointer(self, pointer: Pointer, seen: SeenPointer | None) -> bool:
        key, data = pointer_key(pointer.event_date), encode_lake(pointer)
        if seen is None:
            return await self._store.put_if_absent(key, data, deadline_s=self._deadline_s)
        return await self._store.replace_if(key, data, etag=seen.etag, deadline_s=self._deadline_s)

    async def _pointer(self, event_date: str) -> SeenPointer | None:
        try:
            data, etag = await self._store.get_with_etag(pointer_key(event_date), deadline_s=self._deadline_s)
        except ObjectNotFound:
            return None
        pointer = decode_pointer(data)
        return SeenPointer(etag=etag, sequence=pointer.sequence, result=pointer.result)

    async def _create(self, key: str, data: bytes) -> None:
        """Write an object that nobody else writes; done too where it holds these bytes already."""
        lost: StoreUnknown | None = None
        for attempt in range(_TRIES):
            try:
                if await self._store.put_if_absent(key, data, deadline_s=self._deadline_s):
                    return
            except StoreUnknown as error:
                lost = error
                await self._pause(attempt)
            try:
                found = await self._store.get(key, deadline_s=self._deadline_s)
            except ObjectNotFound:
                continue
            if found == data:
                return
            raise UsageError(
                f"{key} is there already, with other content.",
                why="Another process runs, or ran, under the same name and attempt.",
                fix="Give the run another name, or the attempt the next number.",
                code="attempt_repeated",
            )
        raise lost or _contradiction(key)

    async def _pause(self, attempt: int) -> None:
        """Half a minute in all: a server that restarts is back by then."""
        await asyncio.sleep(self._retry_pause_s * 2**attempt)


def _contradiction(key: str) -> ConfigurationError:
    return ConfigurationError(
        f"The object store refuses a conditional write of {key} and does not say why.",
        why="The condition held before and after each try.",
        fix="Check that the server honours If-Match and If-None-Match; `headrace doctor` tests one of them.",
        code="store_condition",
    )
