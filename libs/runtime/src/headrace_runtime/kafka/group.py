"""Membership in a consumer group: who owns which partitions. Offsets committed to it are only hints.

The classic group protocol with sticky assignment, run by aiokafka's coordinator without its consumer: nothing is
fetched, nothing is committed by itself, and no callback can block or raise. Ownership that matters is confirmed by
asking the coordinator (rule D5); what `owned` says may be out of date.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.group import HeartbeatRequest

from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.kafka.cluster import Cluster, access_denied
from headrace_runtime.kafka.connection import KafkaConnection
from headrace_runtime.ports_log import TopicPartition

__all__ = ["KafkaGroup"]

_log = logging.getLogger(__name__)
_NEVER_MS = 2**31 - 1
_NO_GENERATION = -1
_CHECK_S = 1.0


class _Flags(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types for its base class
    """Receives the coordinator's callbacks; they set fields and never wait or raise."""

    def __init__(self) -> None:
        self.owned: frozenset[TopicPartition] = frozenset()
        self.regrouped = 0
        self.settled = False
        self.changed = asyncio.Event()

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """A regrouping starts: nothing is owned until it ends."""
        self._set(frozenset(), settled=False)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """A regrouping ended."""
        self.regrouped += 1
        self._set(frozenset(TopicPartition(tp.topic, tp.partition) for tp in assigned), settled=True)

    def _set(self, owned: frozenset[TopicPartition], *, settled: bool) -> None:
        self.owned, self.settled = owned, settled
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class KafkaGroup:
    """`GroupCoordination` on Kafka.

    A member that vanishes without `stop` loses its partitions after `session_timeout_s`. With an `instance_id` (static
    membership) it keeps them over a restart within that time, and `stop` does not give them up.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        group: str,
        topics: Collection[str],
        session_timeout_s: float = 10.0,
        instance_id: str | None = None,
    ) -> None:
        self._connection, self._group, self._topics = connection, group, frozenset(topics)
        self._session_ms, self._instance_id = int(session_timeout_s * 1000), instance_id
        self._cluster = Cluster(connection)
        self._flags = _Flags()
        self._coordinator: GroupCoordinator | None = None

    @property
    def owned(self) -> frozenset[TopicPartition]:
        """See `GroupCoordination`."""
        return self._flags.owned

    @property
    def generation(self) -> int:
        """See `GroupCoordination`. Counts the regroupings this member took part in."""
        return self._flags.regrouped if self._flags.settled else _NO_GENERATION

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `GroupCoordination`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        await self._cluster.open(deadline_s=deadline_s)
        try:
            await self._cluster.until(
                self._topics_known,
                deadline_s=until - loop.time(),
                subject=f"the topics of group {self._group}",
            )
            subscription = SubscriptionState()
            subscription.subscribe(topics=set(self._topics), listener=self._flags)
            self._coordinator = self._join(subscription)
            if not await self.changed(_NO_GENERATION, max_wait_s=until - loop.time()):
                raise self._not_joined(f"It was not admitted within {deadline_s:g} s.")
        except BaseException:
            await self.stop(deadline_s=1.0)
            raise

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `GroupCoordination`."""
        coordinator, self._coordinator = self._coordinator, None
        if coordinator is not None:
            try:
                async with asyncio.timeout(deadline_s):
                    await coordinator.close()
            except (TimeoutError, KafkaError) as error:
                _log.warning(
                    "The group was not left cleanly.", extra={"group": self._group, "error": repr(error)}
                )
        self._flags.on_partitions_revoked(())
        await self._cluster.close(deadline_s=deadline_s)

    async def changed(self, generation: int, *, max_wait_s: float) -> bool:
        """See `GroupCoordination`. Raises LogUnavailable, LogAccessDenied where membership cannot be had."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max_wait_s):
                while self.generation == generation:
                    self._raise_failure()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_CHECK_S):
                            await self._flags.changed.wait()
        return self.generation != generation

    async def confirm_ownership(self, *, deadline_s: float) -> bool:
        """See `GroupCoordination`."""
        coordinator, generation = self._coordinator, self.generation
        if coordinator is None or generation == _NO_GENERATION:
            return False
        request = HeartbeatRequest(self._group, coordinator.generation, coordinator.member_id)
        code = await self._ask_coordinator(request, deadline_s, lambda answer: [answer.error_code])
        return code == 0 and self.generation == generation

    async def commit(self, offsets: Mapping[TopicPartition, int], *, deadline_s: float) -> bool:
        """See `GroupCoordination`."""
        coordinator = self._coordinator
        if coordinator is None or not offsets:
            return False
        topics: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for tp, offset in offsets.items():
            topics[tp.topic].append((tp.partition, offset, ""))
        request = OffsetCommitRequest(
            self._group, coordinator.generation, coordinator.member_id, -1, list(topics.items())
        )
        code = await self._ask_coordinator(
            request,
            deadline_s,
            lambda answer: [entry[1] for _, entries in answer.topics for entry in entries],
        )
        return code == 0

    async def committed(
        self, partitions: Iterable[TopicPartition], *, deadline_s: float
    ) -> dict[TopicPartition, int]:
        """See `GroupCoordination`."""
        topics: defaultdict[str, list[int]] = defaultdict(list)
        for tp in partitions:
            topics[tp.topic].append(tp.partition)
        request = OffsetFetchRequest(self._group, list(topics.items()))

        async def ask() -> dict[TopicPartition, int]:
            answer = await self._cluster.send(self._coordinator_node(), request, coordination=True)
            found = {}
            for topic, entries in answer.topics:
                for partition, offset, _, code in entries:
                    if code:
                        raise for_code(code)(topic)
                    if offset >= 0:
                        found[TopicPartition(topic, partition)] = offset
            return found

        return await self._cluster.until(
            ask, deadline_s=deadline_s, subject=f"offsets of group {self._group}"
        )

    async def _topics_known(self) -> None:
        known = self._cluster.client.cluster
        missing = [topic for topic in self._topics if not known.partitions_for_topic(topic)]
        if missing:
            raise GroupCoordinatorNotAvailableError(f"topics are missing: {sorted(missing)}")

    def _join(self, subscription: SubscriptionState) -> GroupCoordinator:
        return GroupCoordinator(
            self._cluster.client,
            subscription,
            group_id=self._group,
            group_instance_id=self._instance_id,
            session_timeout_ms=self._session_ms,
            heartbeat_interval_ms=self._session_ms // 4,
            rebalance_timeout_ms=self._session_ms,
            enable_auto_commit=False,
            # Progress is watched by the service; nothing is fetched here, so the coordinator must not conclude idleness.
            max_poll_interval_ms=_NEVER_MS,
            assignors=(StickyPartitionAssignor,),
        )

    def _coordinator_node(self) -> int:
        node: int | None = self._coordinator.coordinator_id if self._coordinator is not None else None
        if node is None:
            raise GroupCoordinatorNotAvailableError(f"the coordinator of group {self._group} is not known")
        return node

    async def _ask_coordinator(
        self, request: Any, deadline_s: float, codes: Callable[[Any], list[int]]
    ) -> int | None:
        """First error code of the answer, 0 for success, None where none came in time."""
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._cluster.send(self._coordinator_node(), request, coordination=True)
        except (TimeoutError, KafkaError, OSError, KeyError, LogUnavailable) as error:
            _log.warning(
                "The group coordinator did not answer.", extra={"group": self._group, "error": repr(error)}
            )
            return None
        return next((code for code in codes(answer) if code), 0)

    def _raise_failure(self) -> None:
        if self._coordinator is None:
            raise self._not_joined("It was not started, or was stopped.")
        try:
            self._coordinator.check_errors()
        except KafkaError as error:
            raise access_denied(error, f"group {self._group}") or self._not_joined(repr(error)) from error

    def _not_joined(self, why: str) -> LogUnavailable:
        return LogUnavailable(
            f"This process is no member of the consumer group {self._group}.",
            why=why,
            fix=f"Check that the brokers at {self._connection.bootstrap_servers} are well, then start it again.",
            code="log_group",
        )
