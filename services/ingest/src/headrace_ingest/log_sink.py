"""The log as ingest sees it: two batchers, and a deadline on the wait for all records of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import takewhile

from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_ingest.accept import Accepted, Columns
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_runtime.errors_log import AppendRefused
from headrace_runtime.kafka import Batcher
from headrace_runtime.ports_log import LogWriter

__all__ = ["LogSink", "Settled"]

_SWEEP_EVERY_S = 0.1

Settled = Callable[[list[int], Refusal | None], None]
"""Called once with the offsets of the accepted events, or with why they are not known to be durable."""


class LogSink:
    """Appends the records of requests; create it inside the event loop."""

    def __init__(self, writer: LogWriter, partitions: int, *, deadline_s: float, limit_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline_s = deadline_s
        self._raw = Batcher(
            writer, EVENTS_RAW.name, partitions, deadline_s=deadline_s, max_bytes_in_flight=limit_bytes
        )
        self._quarantine = Batcher(
            writer, EVENTS_QUARANTINE.name, partitions, deadline_s=deadline_s, max_bytes_in_flight=limit_bytes
        )
        self._waiting: dict[_Wait, None] = {}
        """In the order of their deadlines, which are all the same time away."""
        self._sweep: asyncio.TimerHandle | None = None

    def append(self, accepted: Accepted, settled: Settled) -> None:
        """Append all records of a request. Raises Refusal where nothing, or not everything, was taken."""
        wait = _Wait(settled, self._waiting, self._loop.time() + self._deadline_s)
        if accepted.raw.values:
            wait.on(self._add(self._raw, accepted.raw), is_raw=True)
        if accepted.quarantine.values:
            try:
                wait.on(self._add(self._quarantine, accepted.quarantine), is_raw=False)
            except Refusal as refusal:
                if not wait.missing:
                    raise
                wait.forget()
                raise Refusal(RefusalCode.NOT_APPENDED) from refusal
        if not wait.missing:
            settled([], None)
            return
        self._waiting[wait] = None
        if self._sweep is None:
            self._sweep = self._loop.call_later(_SWEEP_EVERY_S, self._end_late)

    def _end_late(self) -> None:
        """End the waits that are past their deadline; one timer for all, since a timer for each costs more than its wait."""
        now, self._sweep = self._loop.time(), None
        for wait in list(takewhile(lambda wait: wait.deadline <= now, self._waiting)):
            wait.give_up()
        if self._waiting:
            self._sweep = self._loop.call_later(_SWEEP_EVERY_S, self._end_late)

    @staticmethod
    def _add(batcher: Batcher, columns: Columns) -> asyncio.Future[list[int]]:
        try:
            return batcher.add(columns.partitions, columns.keys, columns.values, columns.headers)
        except AppendRefused as error:
            raise Refusal(RefusalCode.OVERLOADED) from error

    async def close(self, *, deadline_s: float) -> int:
        """Finish what is under way within the deadline; how many requests were left without an outcome."""
        await asyncio.gather(
            self._raw.close(deadline_s=deadline_s), self._quarantine.close(deadline_s=deadline_s)
        )
        if self._sweep is not None:
            self._sweep.cancel()
        left = len(self._waiting)
        for wait in list(self._waiting):
            wait.give_up()
        return left


class _Wait:
    """One request's wait for its one or two batches."""

    __slots__ = ("_open", "_settled", "deadline", "error", "missing", "offsets")

    def __init__(self, settled: Settled, waiting: dict[_Wait, None], deadline: float) -> None:
        self._settled: Settled | None = settled
        self._open, self.deadline = waiting, deadline
        self.missing = 0
        self.offsets: list[int] = []
        self.error: Refusal | None = None

    def on(self, future: asyncio.Future[list[int]], *, is_raw: bool) -> None:
        """Wait for this outcome too."""
        self.missing += 1
        future.add_done_callback(self._raw_done if is_raw else self._quarantine_done)

    def _raw_done(self, future: asyncio.Future[list[int]]) -> None:
        if not self._failed(future):
            self.offsets = future.result()
        self._one_less()

    def _quarantine_done(self, future: asyncio.Future[list[int]]) -> None:
        self._failed(future)
        self._one_less()

    def _failed(self, future: asyncio.Future[list[int]]) -> bool:
        error = future.exception()
        if error is None:
            return False
        refused = isinstance(error, AppendRefused)
        self.error = Refusal(RefusalCode.NOT_APPENDED if refused else RefusalCode.OUTCOME_UNKNOWN)
        return True

    def _one_less(self) -> None:
        self.missing -= 1
        if not self.missing:
            self._settle(self.error)

    def forget(self) -> None:
        """Tell nobody: the sender was answered already."""
        self._settled = None

    def give_up(self) -> None:
        """The deadline passed: whatever comes later, the sender was told that nothing is known."""
        self._settle(Refusal(RefusalCode.OUTCOME_UNKNOWN))

    def _settle(self, error: Refusal | None) -> None:
        settled, self._settled = self._settled, None
        if settled is None:
            return
        self._open.pop(self, None)
        settled(self.offsets, error)
