"""Puts the worker together: real adapters, checked topics, a runner per partition."""

from __future__ import annotations

import logging
import random
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass

from headrace_core.errors import Unavailable
from headrace_core.identity import IdentityIndex
from headrace_core.topics import EVENTS_RAW
from headrace_dedup.event_rules import EventRules
from headrace_dedup.identity_feed import IdentityFeed
from headrace_dedup.log_access import LogAccess, PartitionNames, TopicIds, check_topics
from headrace_dedup.owner import Owner
from headrace_dedup.partition_reads import PartitionReads
from headrace_dedup.ports import OwnerIdentity, Rules
from headrace_dedup.range_telemetry import RangeTelemetry
from headrace_dedup.raw_feed import RawFeed
from headrace_dedup.runner import PartitionRunner
from headrace_dedup.settings import DedupSettings
from headrace_dedup.table import IdTable
from headrace_dedup.worker import Worker
from headrace_runtime.admin_http import admin_server
from headrace_runtime.kafka import KafkaConnection, KafkaGroup, KafkaLogAdmin, KafkaLogReader, KafkaLogWriter
from headrace_runtime.mapping_folder import MappingFolder
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.process import Lifecycle
from headrace_runtime.s3 import S3ObjectStore

__all__ = ["run_service"]

_log = logging.getLogger(__name__)
_CONNECT_DEADLINE_S = 10.0
_FETCH_BYTES = 1 << 20
"""Of one partition and answer, compressed: about a range of events of 2 KB."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class _Clients:
    """Started clients of the log, and how to stop them."""

    log: LogAccess
    feed: RawFeed
    topics: TopicIds
    opened: AsyncExitStack


class _RunnerFactory:
    """Makes the runner of a partition, with an owner that knows nothing yet."""

    def __init__(
        self,
        life: Lifecycle,
        settings: DedupSettings,
        clients: _Clients,
        store: ObjectStore,
        *,
        rules: Rules,
        rebuild_index: bool,
    ) -> None:
        self._life, self._settings, self._rules = life, settings, rules
        self._log, self._feed, self._topics = clients.log, clients.feed, clients.topics
        self._store = store
        self._rebuild_index = rebuild_index

    def __call__(self, partition: int) -> PartitionRunner:
        """A runner that was not started."""
        settings, life = self._settings, self._life
        names = PartitionNames.of(partition)
        table = IdTable(max_bytes=settings.dedup_table_bytes, multiplier=secrets.randbits(64))
        identity = OwnerIdentity(
            self._topics.cluster_id, self._topics.raw_topic_id, partition, settings.instance
        )
        owner = Owner(identity, settings.limits, self._rules, table, rebuild_index=self._rebuild_index)
        reads = PartitionReads(
            names,
            self._log,
            self._store,
            life.health,
            component=f"partition-{partition}",
            window_ms=settings.limits.window_ms,
        )
        return PartitionRunner(
            owner,
            names,
            self._log,
            self._feed,
            reads,
            health=life.health,
            telemetry=RangeTelemetry(life.telemetry, life.clock, partition, table),
            settings=settings,
        )


async def run_service(life: Lifecycle, settings: DedupSettings, *, rebuild_index: bool) -> None:
    """Run a worker until the process is asked to stop. Raises ConfigurationError where a restart would not help."""
    life.health.down("kafka", "No broker has answered yet.")
    async with admin_server(settings.http_host, settings.http_port, life.health, life.telemetry):
        clients = await _connect(life, settings)
        if clients is None:
            return
        async with clients.opened:
            life.health.up("kafka")
            customers = IdentityIndex(most_edges=settings.dedup_identity_aliases)
            factory = _RunnerFactory(
                life,
                settings,
                clients,
                S3ObjectStore.from_settings(settings),
                rules=EventRules(MappingFolder(settings.mappings_dir), customers),
                rebuild_index=rebuild_index,
            )
            identity = IdentityFeed(life, clients.log, customers)
            await Worker(life, clients.log.group, clients.feed, factory, beside=identity.run).run()


async def _connect(life: Lifecycle, settings: DedupSettings) -> _Clients | None:
    """Started clients, as soon as Kafka answers; None where the process stops before."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            async with AsyncExitStack() as opened:
                return await _start(settings, opened)
        except Unavailable as error:
            life.health.down("kafka", str(error))
            _log.warning("Kafka cannot be reached yet.", extra={"why": error.why})
        if not await life.sleep(pause_s * random.uniform(0.5, 1.0)):  # noqa: S311  (spreads retries)
            return None
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


async def _start(settings: DedupSettings, opened: AsyncExitStack) -> _Clients:
    """Check the topics, then start writer, reader and membership; what was started is stopped where one fails."""
    connection = KafkaConnection.from_settings(settings, client_id="headrace-dedup")
    admin, writer = KafkaLogAdmin(connection), KafkaLogWriter(connection)
    reader = KafkaLogReader(connection, partition_fetch_bytes=_FETCH_BYTES)
    group = KafkaGroup(
        connection,
        group=settings.dedup_group,
        topics=[EVENTS_RAW.name],
        session_timeout_s=settings.dedup_session_s,
    )
    await admin.start(deadline_s=_CONNECT_DEADLINE_S)
    opened.push_async_callback(admin.stop, deadline_s=1.0)
    topics = await check_topics(admin, settings.partitions, deadline_s=_CONNECT_DEADLINE_S)
    await writer.start(deadline_s=_CONNECT_DEADLINE_S)
    opened.push_async_callback(writer.stop, deadline_s=1.0)
    await reader.start(deadline_s=_CONNECT_DEADLINE_S)
    opened.push_async_callback(reader.stop, deadline_s=1.0)
    await group.start(deadline_s=_CONNECT_DEADLINE_S + settings.dedup_session_s)
    opened.push_async_callback(group.stop, deadline_s=2.0)
    log = LogAccess(writer, group, lambda: KafkaLogReader(connection))
    return _Clients(log, RawFeed(reader), topics, opened.pop_all())
