"""Creates, describes and (for tests) empties topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.errors import (
    BrokerResponseError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotControllerError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import (
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeConfigsRequest,
)

from headrace_runtime.errors_log import TopicRefused
from headrace_runtime.kafka.cluster import Cluster
from headrace_runtime.kafka.connection import KafkaConnection
from headrace_runtime.kafka.wire import TopicIdRequest
from headrace_runtime.ports_log import TopicDescription, TopicPartition, TopicSpec

__all__ = ["KafkaLogAdmin"]

_EXISTS = 36
_UNKNOWN_TOPIC = 3
_BROKER_TIMEOUT_MS = 8_000
_TOPIC_RESOURCE = 2


class KafkaLogAdmin:
    """`LogAdmin` on Kafka."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._cluster = Cluster(connection)

    async def start(self, *, deadline_s: float = 30.0) -> None:
        """See `LogAdmin`."""
        await self._cluster.open(deadline_s=deadline_s)

    async def stop(self, *, deadline_s: float = 5.0) -> None:
        """See `LogAdmin`."""
        await self._cluster.close(deadline_s=deadline_s)

    async def cluster_id(self, *, deadline_s: float = 30.0) -> str:
        """See `LogAdmin`."""
        answer = await self._ask(TopicIdRequest([]), deadline_s, "the cluster id")
        return str(answer.cluster_id)

    async def create_topics(
        self, topics: Collection[TopicSpec], *, deadline_s: float = 30.0
    ) -> frozenset[str]:
        """See `LogAdmin`."""
        wanted: list[tuple[Any, ...]] = [
            (spec.name, spec.partitions, spec.replication, [], list(spec.config.items())) for spec in topics
        ]
        request = CreateTopicsRequest(
            create_topic_requests=wanted, timeout=_BROKER_TIMEOUT_MS, validate_only=False
        )
        answer = await self._ask_controller(request, deadline_s, "new topics")
        created = set()
        for name, code, message in answer.topic_errors:
            if code and code != _EXISTS:
                raise _topic_refused(name, code, message)
            if not code:
                created.add(name)
        await self._until_led([spec.name for spec in topics], deadline_s)
        return frozenset(created)

    async def describe(
        self, names: Collection[str], *, deadline_s: float = 30.0
    ) -> dict[str, TopicDescription]:
        """See `LogAdmin`."""
        found: dict[str, TopicDescription] = {}
        if names:
            await self._cluster.until(
                lambda: self._describe_once(names, found), deadline_s=deadline_s, subject="topics"
            )
        return found

    async def configs(self, names: Collection[str], *, deadline_s: float = 30.0) -> dict[str, dict[str, str]]:
        """See `LogAdmin`."""
        if not names:
            return {}
        request = DescribeConfigsRequest([(_TOPIC_RESOURCE, name, None) for name in names], False)
        answer = await self._ask(request, deadline_s, "settings of topics")
        found = {}
        for code, message, _, name, entries in answer.resources:
            if code == _UNKNOWN_TOPIC:
                continue
            if code:
                raise _topic_refused(name, code, message)
            found[name] = {entry[0]: entry[1] or "" for entry in entries}
        return found

    async def delete_records(self, before: Mapping[TopicPartition, int], *, deadline_s: float = 30.0) -> None:
        """See `LogAdmin`."""
        await self._cluster.until(
            lambda: self._delete_records_once(before), deadline_s=deadline_s, subject="old records"
        )

    async def delete_topics(self, names: Collection[str], *, deadline_s: float = 30.0) -> None:
        """See `LogAdmin`."""
        request = DeleteTopicsRequest(list(names), _BROKER_TIMEOUT_MS)
        answer = await self._ask_controller(request, deadline_s, "topics to delete")
        for name, code in answer.topic_error_codes:
            if code not in {0, _UNKNOWN_TOPIC}:
                raise _topic_refused(name, code, None)

    async def _delete_records_once(self, before: Mapping[TopicPartition, int]) -> None:
        by_node: defaultdict[int, defaultdict[str, list[tuple[int, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for tp, offset in before.items():
            node = self._cluster.leader(tp)
            if node is None:
                raise LeaderNotAvailableError(f"{tp} has no known leader")
            by_node[node][tp.topic].append((tp.partition, offset))
        for node, topics in by_node.items():
            request = DeleteRecordsRequest(list(topics.items()), _BROKER_TIMEOUT_MS)
            answer = await self._cluster.send(node, request)
            for topic, partitions, *_ in answer.topics:
                for entry in partitions:
                    _raise_for(entry[2], topic)

    async def _describe_once(self, names: Collection[str], found: dict[str, TopicDescription]) -> None:
        """Ask brokers until all topics are found or every broker said no: a new topic reaches them one by one."""
        for node in self._cluster.nodes() or [self._node()]:
            answer = await self._cluster.send(node, TopicIdRequest(list(names)))
            for code, name, topic_id, _, partitions, *_ in answer.topics:
                if code not in {0, _UNKNOWN_TOPIC}:
                    raise _topic_refused(name, code, None)
                if not code:
                    found[name] = TopicDescription(
                        name, str(topic_id), len(partitions), len(partitions[0][4])
                    )
            if len(found) == len(set(names)):
                return

    async def _until_led(self, names: list[str], deadline_s: float) -> None:
        """Wait until every broker knows a leader of every partition, so that the topics can be used at once."""

        async def check() -> None:
            for node in self._cluster.nodes() or [self._node()]:
                answer = await self._cluster.send(node, TopicIdRequest(names))
                for code, name, _, _, partitions, *_ in answer.topics:
                    _raise_for(code, name)
                    for entry in partitions:
                        _raise_for(entry[0], name)

        await self._cluster.until(check, deadline_s=deadline_s, subject="leaders of new topics")

    def _node(self) -> int:
        node = self._cluster.any_node()
        if node is None:
            raise NodeNotReadyError("no broker is known")
        return node

    async def _ask(self, request: Any, deadline_s: float, subject: str) -> Any:
        return await self._cluster.until(
            lambda: self._cluster.send(self._node(), request), deadline_s=deadline_s, subject=subject
        )

    async def _ask_controller(self, request: Any, deadline_s: float, subject: str) -> Any:
        async def ask() -> Any:
            controller = self._cluster.client.cluster.controller
            answer = await self._cluster.send(controller.nodeId if controller else self._node(), request)
            for entry in getattr(answer, "topic_errors", None) or getattr(answer, "topic_error_codes", []):
                if entry[1] == NotControllerError.errno:
                    raise NotControllerError(entry[0])
            return answer

        return await self._cluster.until(ask, deadline_s=deadline_s, subject=subject)


def _raise_for(code: int, topic: str) -> None:
    """Raise the client's error for a code, so that `Cluster.until` tries again."""
    if not code:
        return
    error = for_code(code)
    raise error(topic) if issubclass(error, BrokerResponseError) else UnknownTopicOrPartitionError(topic)


def _topic_refused(name: str, code: int, message: str | None) -> TopicRefused:
    return TopicRefused(
        f"The cluster refused topic {name}.",
        why=message or f"It answered {for_code(code).__name__} (code {code}).",
        fix="Check the replication factor against the number of brokers, the settings, and this user's rights.",
        code="topic_refused",
    )
