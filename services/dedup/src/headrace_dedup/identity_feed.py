"""The map of customers of one worker: identity.edges read from its beginning, and on as edges come.

Deciding never waits for it: the customer of a clean event is advisory (rule B5), whatever a worker does not know yet is put
right by events_resolved and the daily run. Readiness says once that the map is being read, so that a rollout goes on to the
next worker only when this one knows its customers; an outage later is told by the partitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator

from headrace_core.errors import BadData, HeadraceError
from headrace_core.identity import EdgeRecord, IdentityIndex, decode_edge
from headrace_dedup.log_access import LogAccess
from headrace_dedup.partition_reads import pauses
from headrace_runtime.edge_log import EDGES
from headrace_runtime.ports_log import LogReader, Record
from headrace_runtime.process import Lifecycle

__all__ = ["COMPONENT", "IdentityFeed"]

_log = logging.getLogger(__name__)
COMPONENT = "identity"
_DEADLINE_S = 10.0
_FETCH_WAIT_S = 1.0
_MOST_RECORDS = 500
"""Applied without a turn for others: some milliseconds."""


class IdentityFeed:
    """Keeps an `IdentityIndex` up with the log. What its bound keeps out is counted, and said once of each reading."""

    def __init__(self, life: Lifecycle, log: LogAccess, index: IdentityIndex) -> None:
        self._life, self._log, self._index = life, log, index
        self._unreadable = 0
        self._told = False

    async def run(self) -> None:
        """Read until cancelled; what fails is logged, shown in readiness while the map is not read, and tried again."""
        self._life.health.down(COMPONENT, "The map of customers is being read.")
        async for _ in pauses():
            try:
                async with self._log.reading(deadline_s=_DEADLINE_S) as reader:
                    await self._follow(reader)
            except HeadraceError as error:
                _log.warning("Identity edges cannot be read.", extra={"error": str(error)})
                self._life.telemetry.count("headrace_dependency_errors_total", dependency="kafka")

    async def _follow(self, reader: LogReader) -> None:
        """From the beginning, whatever was read before: the log may be another one now."""
        self._index.clear()
        self._told = False
        starts = await reader.beginning_offsets([EDGES], deadline_s=_DEADLINE_S)
        ends = await reader.end_offsets([EDGES], deadline_s=_DEADLINE_S)
        reader.assign(starts)
        while True:
            if reader.position(EDGES) >= ends[EDGES]:
                self._life.health.up(COMPONENT)
            got = await reader.fetch(max_wait_s=_FETCH_WAIT_S, max_records=_MOST_RECORDS)
            if EDGES in got:
                self.take(got[EDGES].records)
                await asyncio.sleep(0)

    def take(self, records: Iterable[Record]) -> None:
        """Learn from records that follow those before."""
        before = self._index.passed_over.copy()
        self._index.apply(self._readable(records))
        for reason, edges in (self._index.passed_over - before).items():
            self._tell(reason)
            self._life.telemetry.count("headrace_dedup_identity_passed_over_total", edges, reason=reason)
        self._life.telemetry.gauge("headrace_dedup_identity_aliases", len(self._index.known))

    def _readable(self, records: Iterable[Record]) -> Iterator[EdgeRecord]:
        for record in records:
            try:
                edge = None if record.value is None else decode_edge(record.value)
            except BadData as error:
                self._pass_over(record, error)
                continue
            yield EdgeRecord(record.offset, record.key or b"", edge)

    def _pass_over(self, record: Record, error: BadData) -> None:
        self._life.telemetry.count("headrace_dedup_identity_passed_over_total", reason="unreadable")
        self._unreadable += 1
        if self._unreadable == 1:
            _log.error(
                "A record of identity.edges is passed over.",
                extra={"offset": record.offset, "why": error.why},
            )

    def _tell(self, reason: str) -> None:
        if reason == "full" and not self._told:
            self._told = True
            _log.error(
                "The map of customers is full: further aliases get no customer here.",
                extra={"aliases": len(self._index.known), "fix": "Raise HEADRACE_DEDUP_IDENTITY_ALIASES."},
            )
