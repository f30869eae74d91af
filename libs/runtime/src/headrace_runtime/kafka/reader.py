"""Reads explicitly assigned partitions. One request per leader is under way; its answer waits, as bytes, to be taken.

Positions move only by `assign` and by taking records: there is no reset policy, and a position outside the log is an
error with instructions. Trouble of brokers is retried here and shows only as silence and in `last_success_monotonic`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.errors import LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from headrace_runtime.errors_log import LogAccessDenied, LogCorrupt, PositionOutOfRange
from headrace_runtime.kafka.batch_codec import BatchFormatError
from headrace_runtime.kafka.cluster import Cluster
from headrace_runtime.kafka.connection import KafkaConnection
from headrace_runtime.kafka.fetching import FetchState, FetchVerdict, verdict_of
from headrace_runtime.ports_log import Records, TopicPartition

__all__ = ["KafkaLogReader"]

_log = logging.getLogger(__name__)
_READ_UNCOMMITTED = 0
_EARLIEST, _LATEST = -2, -1
_BACKOFF_S = 0.1
_SHORT_WAIT_MS = 20


class KafkaLogReader:
    """`LogReader` on Kafka.

    `partition_fetch_bytes` bounds what is held per partition (one whole batch is always taken); `broker_wait_s` is how
    long a broker may hold a request that finds nothing new.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        partition_fetch_bytes: int = 1 << 20,
        max_fetch_bytes: int = 32 << 20,
        broker_wait_s: float = 0.25,
    ) -> None:
        self._cluster = Cluster(connection)
        self._partition_fetch_bytes, self._max_fetch_bytes = partition_fetch_bytes, max_fetch_bytes
        self._broker_wait_ms = int(broker_wait_s * 1000)
        self._state = FetchState()
        self._busy: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._started = False
        self._last_success = time.monotonic()

    @property
    def last_success_monotonic(self) -> float:
        """See `LogReader`."""
        return self._last_success

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `LogReader`."""
        await self._cluster.open(deadline_s=deadline_s)
        self._started = True
        self._last_success = time.monotonic()
        self._start_requests()

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `LogReader`."""
        self._started = False
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=deadline_s)
        await self._cluster.close(deadline_s=deadline_s)

    def assign(self, partitions: Mapping[TopicPartition, int]) -> None:
        """See `LogReader`."""
        self._state.assign(partitions)
        self._start_requests()

    def pause(self, tp: TopicPartition) -> None:
        """See `LogReader`."""
        self._state.set_paused(tp, True)

    def resume(self, tp: TopicPartition) -> None:
        """See `LogReader`."""
        self._state.set_paused(tp, False)
        self._changed.set()
        self._start_requests()

    def position(self, tp: TopicPartition) -> int:
        """See `LogReader`."""
        return self._state.position(tp)

    def lag(self, tp: TopicPartition) -> int | None:
        """See `LogReader`."""
        end = self._state.end_offset(tp)
        return None if end < 0 else max(0, end - self._state.position(tp))

    async def fetch(self, *, max_wait_s: float, max_records: int = 10_000) -> dict[TopicPartition, Records]:
        """See `LogReader`."""
        until = asyncio.get_running_loop().time() + max_wait_s
        try:
            async with asyncio.timeout_at(until):
                self._raise_problems()
                while not self._state.has_data():
                    self._changed.clear()
                    await self._changed.wait()
                    self._raise_problems()
        except TimeoutError:
            return {}
        try:
            taken = self._state.take(max_records)
        except BatchFormatError as error:
            raise LogCorrupt(
                "Bytes fetched from Kafka are damaged.",
                why=str(error),
                fix="Nothing is lost yet: fetch again. If it repeats, check the brokers' disks and network.",
                code="log_corrupt",
            ) from error
        finally:
            self._start_requests()
        return taken

    async def end_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """See `LogReader`."""
        return await self._offsets(partitions, _LATEST, deadline_s)

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """See `LogReader`."""
        return await self._offsets(partitions, _EARLIEST, deadline_s)

    def _raise_problems(self) -> None:
        for tp, problem in self._state.problems().items():
            place = f"partition {tp.partition} of {tp.topic}"
            if problem is FetchVerdict.DENIED:
                raise LogAccessDenied(
                    f"The brokers refuse reading {place}.",
                    fix="Give this user read access to the topic.",
                    code="log_access_denied",
                )
            raise PositionOutOfRange(
                f"Offset {self._state.position(tp)} lies outside the log of {place}.",
                why="Records were deleted before they were read, or the topic was made anew.",
                fix="Compare the topic id with the one in the manifests; then follow the runbook for a lost position.",
                code="position_out_of_range",
            )

    def _start_requests(self) -> None:
        """Send a request to every leader that has none under way and has partitions to read."""
        if not self._started:
            return
        by_node: defaultdict[int | None, dict[TopicPartition, int]] = defaultdict(dict)
        for tp, offset in self._state.wanted().items():
            by_node[self._cluster.leader(tp)][tp] = offset
        for node, wanted in by_node.items():
            key = -1 if node is None else node
            if key not in self._busy:
                self._busy.add(key)
                work = self._find_leaders() if node is None else self._request(node, wanted)
                task = asyncio.create_task(work, name="kafka-fetch")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _find_leaders(self) -> None:
        try:
            await asyncio.sleep(_BACKOFF_S)
            await self._cluster.refresh()
        finally:
            self._busy.discard(-1)
        self._start_requests()

    async def _request(self, node: int, wanted: dict[TopicPartition, int]) -> None:
        trouble = True
        try:
            trouble = await self._exchange(node, wanted, self._state.epoch)
        except Exception as error:
            # Whatever the client raises: a request that ends without being sent again would silence its partitions.
            _log.warning("A fetch request got no answer.", extra={"node": node, "error": repr(error)})
        finally:
            if not trouble:
                self._busy.discard(node)
        if trouble:
            try:
                await asyncio.sleep(_BACKOFF_S)
                await self._cluster.refresh()
            finally:
                self._busy.discard(node)
        self._changed.set()
        self._start_requests()

    async def _exchange(self, node: int, wanted: dict[TopicPartition, int], epoch: int) -> bool:
        """One request; True where metadata is suspect."""
        topics: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for tp, offset in wanted.items():
            topics[tp.topic].append((tp.partition, offset, self._partition_fetch_bytes))
        # A partition left out because its data was not taken yet would otherwise wait for the others' long poll.
        wait_ms = _SHORT_WAIT_MS if self._state.has_data() else self._broker_wait_ms
        request = FetchRequest(wait_ms, 1, self._max_fetch_bytes, _READ_UNCOMMITTED, list(topics.items()))
        answer = await self._cluster.send(node, request)
        trouble = False
        for topic, entries in answer.topics:
            for partition, code, end_offset, *_, data in entries:
                tp = TopicPartition(topic, partition)
                requested = wanted[tp]
                verdict = verdict_of(code)
                if verdict is FetchVerdict.DATA:
                    self._last_success = time.monotonic()
                    self._state.store(
                        tp, epoch=epoch, requested=requested, data=data or b"", end_offset=end_offset
                    )
                elif verdict is FetchVerdict.RETRY:
                    trouble = True
                    _log.warning(
                        "A partition cannot be fetched now.", extra={"tp": str(tp), "kafka_code": code}
                    )
                else:
                    self._state.fail(tp, verdict, epoch=epoch, requested=requested)
        return trouble

    async def _offsets(
        self, partitions: Iterable[TopicPartition], which: int, deadline_s: float
    ) -> dict[TopicPartition, int]:
        tps = list(partitions)
        return await self._cluster.until(
            lambda: self._ask_offsets(tps, which), deadline_s=deadline_s, subject="the ends of partitions"
        )

    async def _ask_offsets(self, tps: list[TopicPartition], which: int) -> dict[TopicPartition, int]:
        by_node: defaultdict[int, defaultdict[str, list[tuple[int, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for tp in tps:
            node = self._cluster.leader(tp)
            if node is None:
                raise LeaderNotAvailableError(f"{tp} has no known leader; the topic may be missing")
            by_node[node][tp.topic].append((tp.partition, which))
        found: dict[TopicPartition, int] = {}
        for node, topics in by_node.items():
            answer: Any = await self._cluster.send(
                node, OffsetRequest(-1, _READ_UNCOMMITTED, list(topics.items()))
            )
            for topic, entries in answer.topics:
                for partition, code, _, offset in entries:
                    if code:
                        raise for_code(code)(topic)
                    found[TopicPartition(topic, partition)] = offset
        return found
