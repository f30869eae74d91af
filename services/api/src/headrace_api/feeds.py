"""The loops that keep the census up to date: index, quarantine, manifests and ledger; they also watch the log's ends.

Each loop survives its dependency: it says in the health what is down, waits, and goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headrace_api.census import Census
from headrace_api.chain_tail import ChainTail
from headrace_api.ends import LogEnds
from headrace_api.lookups import header
from headrace_api.manifests import ManifestIndex
from headrace_api.warehouse import WarehouseReader
from headrace_core.block import decode_block
from headrace_core.errors import HeadraceError, Unavailable
from headrace_core.meta import decode_note
from headrace_core.topics import (
    DEDUP_INDEX,
    EVENTS_QUARANTINE,
    HEADER_QUARANTINE,
    HEADER_SOURCE_OFFSET,
    Topic,
)
from headrace_runtime.errors_log import PositionOutOfRange
from headrace_runtime.ports_log import LogReader, Records, TopicPartition
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.process import Lifecycle

__all__ = ["Feeds"]

_log = logging.getLogger(__name__)
_DEADLINE_S = 10.0
_FETCH_WAIT_S = 0.5
_RETRY_WAIT_S = 2.0


class Feeds:
    """All loops of one API process. ``run`` ends when the process stops."""

    def __init__(
        self,
        life: Lifecycle,
        census: Census,
        manifests: ManifestIndex,
        *,
        index: LogReader,
        quarantine: LogReader,
        ends: LogEnds,
        store: ObjectStore,
        warehouse: WarehouseReader,
        poll_interval_s: float,
    ) -> None:
        self._life = life
        self._census = census
        self._manifests = manifests
        self._index = index
        self._quarantine = quarantine
        self._ends = ends
        self._chains = ChainTail(store, deadline_s=_DEADLINE_S)
        self._warehouse = warehouse
        self._poll_interval_s = poll_interval_s
        self._partitions = range(len(census.partitions))

    async def run(self) -> None:
        """Run every loop until the process stops."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tail("kafka", self._index, DEDUP_INDEX, self._count_blocks))
            tasks.create_task(self._tail("kafka", self._quarantine, EVENTS_QUARANTINE, self._count_refused))
            tasks.create_task(self._poll("kafka", self._read_ends))
            tasks.create_task(self._poll("s3", self._read_manifests))
            tasks.create_task(self._poll("warehouse", self._read_ledger))

    async def _poll(self, dependency: str, step: Callable[[], Awaitable[None]]) -> None:
        wait_s = 0.0
        while await self._life.sleep(wait_s):
            try:
                await step()
            except (Unavailable, TimeoutError) as error:
                self._failed(dependency, error)
                wait_s = _RETRY_WAIT_S
            else:
                self._life.health.up(dependency)
                wait_s = self._poll_interval_s

    async def _tail(
        self, dependency: str, reader: LogReader, topic: Topic, take: Callable[[int, Records], None]
    ) -> None:
        """Read a topic from its beginning and on, for ever."""
        tps = [TopicPartition(topic.name, p) for p in self._partitions]
        assigned = False
        while not self._life.stopping.is_set():
            try:
                if not assigned:
                    beginnings = await reader.beginning_offsets(tps, deadline_s=_DEADLINE_S)
                    reader.assign(beginnings)
                    assigned = True
                    for tp, begin in beginnings.items():
                        take(tp.partition, Records([], begin))  # nothing is left to read before it
                for tp, records in (await reader.fetch(max_wait_s=_FETCH_WAIT_S)).items():
                    take(tp.partition, records)
            except PositionOutOfRange:
                assigned = (
                    False  # retention overtook a reader that was away for days: what is gone stays counted
                )
            except (Unavailable, TimeoutError) as error:
                self._failed(dependency, error)
                await self._life.sleep(_RETRY_WAIT_S)

    def _failed(self, dependency: str, error: Exception) -> None:
        reason = error.what if isinstance(error, HeadraceError) else "no answer within the deadline"
        self._life.health.down(dependency, reason)
        self._life.telemetry.count("headrace_dependency_errors_total", dependency=dependency)
        _log.warning(
            "A feed of the census waits for its dependency.", extra={"dependency": dependency, "why": reason}
        )

    def _count_blocks(self, _partition: int, records: Records) -> None:
        for record in records.records:
            if record.value is not None:
                self._census.add_block(record.offset, decode_block(record.value))

    def _count_refused(self, partition: int, records: Records) -> None:
        for record in records.records:
            note = header(record, HEADER_QUARANTINE)
            if note is not None and header(record, HEADER_SOURCE_OFFSET) is None:
                self._census.add_refused(record.timestamp, decode_note(note).reason)
        self._census.quarantine_to[partition] = records.next_offset

    async def _read_ends(self) -> None:
        await self._ends.read(deadline_s=_DEADLINE_S)

    async def _read_manifests(self) -> None:
        for partition in self._partitions:
            await self._read_chain(partition)

    async def _read_chain(self, partition: int) -> None:
        async for manifest in self._chains.new(partition):
            self._census.add_manifest(manifest)
            self._manifests.add(manifest)

    async def _read_ledger(self) -> None:
        self._census.ledger = await self._warehouse.ledger_summary(deadline_s=_DEADLINE_S)
