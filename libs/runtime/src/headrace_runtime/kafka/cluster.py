"""The cluster as seen by one client: connections, leaders, and requests that end in time.

aiokafka's client opens and authenticates connections and negotiates versions. What this module adds: every wait has
a deadline, metadata is refreshed on demand, through the bootstrap servers again when no known broker answers, and
foreign exceptions stop here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition as ClientPartition

from headrace_runtime.errors_log import LogAccessDenied, LogUnavailable
from headrace_runtime.kafka.connection import KafkaConnection
from headrace_runtime.ports_log import TopicPartition

__all__ = ["Cluster", "access_denied"]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_RETRY_S = 0.1
_DENIED = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)


def access_denied(error: BaseException, subject: str) -> LogAccessDenied | None:
    """The error to raise where brokers refuse this client, else None."""
    if not isinstance(error, _DENIED):
        return None
    return LogAccessDenied(
        f"The brokers refuse access to {subject}.",
        why=f"They answered {type(error).__name__}.",
        fix="Check the user, its password and its access rules.",
        code="log_access_denied",
    )


class Cluster:
    """One client of the cluster. Use it in one event loop; `close` ends all its connections."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._client: AIOKafkaClient | None = None
        self._refresh: asyncio.Task[bool] | None = None
        self._refreshed_at = 0.0

    async def open(self, *, deadline_s: float) -> None:
        """Connect through the bootstrap servers. Raises LogUnavailable, LogAccessDenied."""
        settings = self._connection
        client = self._client = AIOKafkaClient(
            bootstrap_servers=settings.bootstrap_servers,
            client_id=settings.client_id,
            request_timeout_ms=int(settings.request_timeout_s * 1000),
            security_protocol=settings.security_protocol,
            ssl_context=settings.ssl_context,
            sasl_mechanism=settings.sasl_mechanism,
            sasl_plain_username=settings.sasl_username,
            sasl_plain_password=settings.sasl_password,
        )
        try:
            await self.until(client.bootstrap, deadline_s=deadline_s, subject="the cluster")
            await self.refresh()
        except BaseException:
            await self.close(deadline_s=1.0)
            raise

    async def close(self, *, deadline_s: float) -> None:
        """End the connections; what hangs is left behind after the deadline."""
        client, self._client = self._client, None
        if self._refresh is not None:
            self._refresh.cancel()
        if client is None:
            return
        try:
            async with asyncio.timeout(deadline_s):
                await client.close()
        except (TimeoutError, KafkaError, OSError):
            _log.warning("Connections to Kafka did not close in time.", extra={"deadline_s": deadline_s})

    @property
    def client(self) -> AIOKafkaClient:
        """The open client. Raises LogUnavailable before `open` and after `close`."""
        if self._client is None:
            raise LogUnavailable(
                "The Kafka client is not connected.",
                why="It was not started, or was stopped.",
                fix="Await start() before use.",
                code="log_not_started",
            )
        return self._client

    def leader(self, tp: TopicPartition) -> int | None:
        """Node that leads the partition, None while unknown."""
        if self._client is None:
            return None
        node: int | None = self._client.cluster.leader_for_partition(ClientPartition(tp.topic, tp.partition))
        return None if node == -1 else node

    def any_node(self) -> int | None:
        """Some broker of the last metadata."""
        node: int | None = self.client.get_random_node()
        return node

    def nodes(self) -> list[int]:
        """All brokers of the last metadata, in random order."""
        nodes = [broker.nodeId for broker in self.client.cluster.brokers()]
        random.shuffle(nodes)
        return nodes

    async def send(self, node: int, request: Any, *, coordination: bool = False) -> Any:
        """Send to a node and return its answer. Raises what aiokafka raises; the caller decides what it means."""
        group = ConnectionGroup.COORDINATION if coordination else ConnectionGroup.DEFAULT
        return await self.client.send(node, request, group=group)

    async def until(
        self, attempt: Callable[[], Awaitable[_Result]], *, deadline_s: float, subject: str
    ) -> _Result:
        """Repeat `attempt` until it succeeds. Raises LogUnavailable after the deadline, LogAccessDenied at once."""
        last: Exception | None = None
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    try:
                        return await attempt()
                    except (KafkaError, OSError, KeyError) as error:
                        last = error
                        if denied := access_denied(error, subject):
                            raise denied from error
                    await asyncio.sleep(_RETRY_S)
                    await self.refresh()
        except TimeoutError as error:
            raise LogUnavailable(
                f"Kafka did not answer about {subject} within {deadline_s:g} s.",
                why=repr(last) if last else "No answer came.",
                fix=f"Check that a broker runs and is reachable at {self._connection.bootstrap_servers}.",
                code="log_unavailable",
            ) from error

    async def refresh(self) -> bool:
        """Fetch metadata anew; callers at the same time share one fetch. False where no broker answered."""
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.create_task(self._fetch_metadata(), name="kafka-metadata")
        return await asyncio.shield(self._refresh)

    async def _fetch_metadata(self) -> bool:
        wait = self._refreshed_at + _RETRY_S - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        self._refreshed_at = time.monotonic()
        client = self._client
        if client is None:
            return False
        for node in self.nodes():
            with contextlib.suppress(KafkaError, OSError, KeyError, TimeoutError):
                async with asyncio.timeout(self._connection.request_timeout_s):
                    answer = await client.send(node, MetadataRequest(None))
                if answer.brokers:
                    client.cluster.update_metadata(answer)
                    return True
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(self._connection.request_timeout_s):
                await client.bootstrap()
        return False
