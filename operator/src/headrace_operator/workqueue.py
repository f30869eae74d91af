"""Works the schedule off: so many keys at once, each by one worker, failures with a growing pause."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from headrace_core.clock import Clock
from headrace_core.errors import HeadraceError
from headrace_operator.schedule import Schedule
from headrace_runtime.errors_kubernetes import ApiDenied, Throttled

__all__ = ["DENIED_PAUSE_S", "WorkQueue"]

_log = logging.getLogger(__name__)

DENIED_PAUSE_S = 60.0
"""A right that is missing is not there a second later."""

_LONGEST_WAIT_S = 60.0

Work = Callable[[str], Awaitable[int | None]]
"""Works on a key; when to do so again, in milliseconds since 1970 UTC, None where only a change calls for it."""


class WorkQueue:
    """The queue of runs that want to be looked at."""

    def __init__(self, clock: Clock, work: Work) -> None:
        self._clock = clock
        self._work = work
        self._schedule = Schedule()
        self._changed = asyncio.Event()

    @property
    def keys(self) -> int:
        """How many keys are ready, worked on or waiting for a time."""
        return self._schedule.keys

    @property
    def head_age_s(self) -> float:
        """How long the key that is next has waited."""
        return self._schedule.head_age_s(self._clock.monotonic_s())

    def add(self, key: str) -> None:
        """Something happened to a run."""
        self._schedule.add(key, self._clock.monotonic_s())
        self._changed.set()

    async def run(self, workers: int) -> None:
        """Work until cancelled, on ``workers`` keys at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def drain(self) -> None:
        """Work on all that is ready, one key after the other (for tests, which turn the clock themselves)."""
        while (key := self._schedule.take(self._clock.monotonic_s())) is not None:
            await self._one(key)

    async def _worker(self) -> None:
        while True:
            await self._one(await self._next())

    async def _next(self) -> str:
        while (key := self._schedule.take(self._clock.monotonic_s())) is None:
            self._changed.clear()
            due_s = self._schedule.next_s()
            wait_s = _LONGEST_WAIT_S if due_s is None else due_s - self._clock.monotonic_s()
            try:
                async with asyncio.timeout(max(0.001, min(wait_s, _LONGEST_WAIT_S))):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return key

    async def _one(self, key: str) -> None:
        try:
            again_ms = await self._work(key)
        except HeadraceError as error:
            self._failed(key, error)
        except Exception as error:
            _log.exception("The work on a run failed unexpectedly.", extra={"run": key})
            self._failed(key, error)
        else:
            self._done(key, again_ms)
        self._changed.set()

    def _done(self, key: str, again_ms: int | None) -> None:
        now_s = self._clock.monotonic_s()
        again_s = None if again_ms is None else now_s + max(0.0, (again_ms - self._clock.now_ms()) / 1000)
        self._schedule.done(key, now_s, again_at_s=again_s)

    def _failed(self, key: str, error: Exception) -> None:
        at_least_s = 0.0
        if isinstance(error, Throttled):
            at_least_s = error.retry_after_s
        elif isinstance(error, ApiDenied):
            at_least_s = DENIED_PAUSE_S
        chance = random.random()  # noqa: S311  (spreads pauses, guards nothing)
        pause_s = self._schedule.failed(key, self._clock.monotonic_s(), chance=chance, at_least_s=at_least_s)
        fields = {"run": key, "pause_s": round(pause_s, 1), "why": str(error)}
        _log.warning("A run is looked at again after a pause.", extra=fields)
