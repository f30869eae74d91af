"""Processes that are coroutines on an event loop which the world turns: every call of a port waits for its turn.

Code that gathers, sleeps or holds a semaphore runs as it is. The loop has no clock and no selector: sleeping takes no time,
and what goes on next is only what the world lets go on, so that a seed replays.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, Generic, TypeVar

__all__ = ["DECISIVE", "Process", "SteppedLoop", "Turns"]

T = TypeVar("T")


DECISIVE = 0.15
"""Before a write that others race for, or after something was read that others may change."""


class _NoSelector(selectors.SelectSelector):
    """Nothing ever comes from outside."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready, and stops."""

    def __init__(self) -> None:
        self._called = False
        super().__init__(_NoSelector())

    def call_soon(  # type: ignore[override]  # typed by its arguments in the stub alone
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop`."""
        self._called = True
        return super().call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]  # a handle that is due at once: nothing here takes time
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop`: at once."""
        return self.call_soon(callback, *args, context=context)

    def settle(self) -> None:
        """Run until everything waits for its turn."""
        self._called = True
        while self._called:
            self._called = False
            super().call_soon(self.stop)
            self.run_forever()


class Turns:
    """What the ports of one process wait for. A dead process gets no turn any more."""

    def __init__(self, loop: SteppedLoop) -> None:
        self._loop = loop
        self.waiting: list[asyncio.Future[None]] = []
        self.dead = False
        self.decisive = 0.0
        """How much depends on what others do before the process goes on: the chance that it sleeps here."""
        self.is_blocked = False
        """Whether it waits for others: turns in a row get it nowhere."""

    async def turn(self, *, decisive: float = 0.0) -> None:
        """Wait until the world lets this call go on."""
        if self.dead:
            raise asyncio.CancelledError
        self.decisive = max(self.decisive, decisive)
        waits = self._loop.create_future()
        self.waiting.append(waits)
        await waits
        if self.dead:
            raise asyncio.CancelledError


class Process(Generic[T]):
    """One process at work. ``step`` lets one of the calls that it waits for go on."""

    def __init__(self, loop: SteppedLoop, turns: Turns, work: Coroutine[Any, Any, T]) -> None:
        self._loop, self._turns = loop, turns
        self._task = loop.create_task(work)
        loop.settle()

    @property
    def done(self) -> bool:
        """Whether the work came to its end."""
        return self._task.done()

    def result(self) -> T:
        """What it returned; raises what it raised."""
        return self._task.result()

    def step(self, rng: Random) -> None:
        """Let one call go on, with all that follows until the next call."""
        waiting = self._turns.waiting
        if waiting:
            waiting.pop(rng.randrange(len(waiting)) if len(waiting) > 1 else 0).set_result(None)
            self._loop.settle()

    def crash(self) -> None:
        """Nothing of it goes on; none of its clean-up reaches a port."""
        self._turns.dead = True
        self._task.cancel()
        self._loop.settle()
        self._turns.waiting.clear()
        if self._task.done() and not self._task.cancelled():
            self._task.exception()
