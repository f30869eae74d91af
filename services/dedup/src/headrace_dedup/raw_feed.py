"""One reader of events.raw for all partitions of a worker; each owner gets its records as they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from headrace_runtime.errors_log import LogCorrupt
from headrace_runtime.ports_log import LogReader, Records, TopicPartition

__all__ = ["RawFeed"]

_log = logging.getLogger(__name__)
_FETCH_WAIT_S = 0.5
_MOST_RECORDS = 4_000
"""As many as a range takes, so that a partition which lags gets a whole range at once and not a share of one per turn."""
_AFTER_DAMAGE_S = 1.0


class RawFeed:
    """Hands records to the sink of their partition, and none while the partition is held."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._sinks: dict[TopicPartition, Callable[[Records], None]] = {}
        self._held: set[TopicPartition] = set()

    @property
    def last_success_monotonic(self) -> float:
        """When a broker last answered."""
        return self._reader.last_success_monotonic

    @property
    def is_reading(self) -> bool:
        """Whether a broker is being asked for records at all."""
        return bool(self._sinks.keys() - self._held)

    def lag(self, tp: TopicPartition) -> int | None:
        """Records behind the position; None while unknown."""
        return self._reader.lag(tp) if tp in self._sinks else None

    def seek(self, tp: TopicPartition, position: int, sink: Callable[[Records], None]) -> None:
        """Read a partition from a position; what was read of it before is dropped. Others go on where they are."""
        positions = {other: self._reader.position(other) for other in self._sinks if other != tp}
        self._sinks[tp] = sink
        self._assign({**positions, tp: position})

    def leave(self, tp: TopicPartition) -> None:
        """Read it no longer."""
        if self._sinks.pop(tp, None) is not None:
            self._held.discard(tp)
            self._assign({other: self._reader.position(other) for other in self._sinks})

    def hold(self, tp: TopicPartition, held: bool) -> None:
        """Stop or go on handing out records of a partition."""
        if tp not in self._sinks or held == (tp in self._held):
            return
        if held:
            self._held.add(tp)
            self._reader.pause(tp)
        else:
            self._held.discard(tp)
            self._reader.resume(tp)

    def _assign(self, positions: dict[TopicPartition, int]) -> None:
        self._reader.assign(positions)
        for tp in self._held:
            self._reader.pause(tp)

    async def run(self) -> None:
        """Read until cancelled. Raises PositionOutOfRange and LogAccessDenied."""
        while True:
            try:
                got = await self._reader.fetch(max_wait_s=_FETCH_WAIT_S, max_records=_MOST_RECORDS)
            except LogCorrupt as error:
                _log.error("Fetched bytes are damaged; they are fetched again.", extra={"why": error.why})
                await asyncio.sleep(_AFTER_DAMAGE_S)
                continue
            for tp, records in got.items():
                sink = self._sinks.get(tp)
                if sink is not None:
                    sink(records)
