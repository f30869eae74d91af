"""The log as a worker uses it: shared clients, makers of short-lived readers, and the names of what it works on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from headrace_core.errors import ConfigurationError
from headrace_core.topics import DEDUP_INDEX, EVENTS_CLEAN, EVENTS_QUARANTINE, EVENTS_RAW, IDENTITY_EDGES
from headrace_runtime.ports_log import GroupCoordination, LogAdmin, LogReader, LogWriter, TopicPartition

__all__ = ["LogAccess", "PartitionNames", "TopicIds", "check_topics"]


@dataclass(frozen=True, slots=True)
class TopicIds:
    """Which log this is."""

    cluster_id: str
    raw_topic_id: str


@dataclass(frozen=True, slots=True)
class PartitionNames:
    """The partition of each topic that an owner works on, and the one of identity.edges, which all owners share."""

    raw: TopicPartition
    index: TopicPartition
    clean: TopicPartition
    quarantine: TopicPartition
    edges: TopicPartition

    @classmethod
    def of(cls, partition: int) -> PartitionNames:
        """The same number everywhere, but for the edges."""
        return cls(
            TopicPartition(EVENTS_RAW.name, partition),
            TopicPartition(DEDUP_INDEX.name, partition),
            TopicPartition(EVENTS_CLEAN.name, partition),
            TopicPartition(EVENTS_QUARANTINE.name, partition),
            TopicPartition(IDENTITY_EDGES.name, 0),
        )


@dataclass(frozen=True, slots=True)
class LogAccess:
    """The clients of one worker, started, and how to make a further reader (not started)."""

    writer: LogWriter
    group: GroupCoordination
    new_reader: Callable[[], LogReader]

    @asynccontextmanager
    async def reading(self, *, deadline_s: float) -> AsyncIterator[LogReader]:
        """A started reader for the time of the context."""
        reader = self.new_reader()
        await reader.start(deadline_s=deadline_s)
        try:
            yield reader
        finally:
            await reader.stop(deadline_s=1.0)


async def check_topics(admin: LogAdmin, partitions: int, *, deadline_s: float) -> TopicIds:
    """Ids of the log. ConfigurationError where a topic is missing or has another partition count."""
    topics = (EVENTS_RAW, EVENTS_CLEAN, EVENTS_QUARANTINE, DEDUP_INDEX, IDENTITY_EDGES)
    found = await admin.describe([topic.name for topic in topics], deadline_s=deadline_s)
    for topic in topics:
        description = found.get(topic.name)
        count = partitions if topic.partitions == "P" else 1
        if description is None or description.partitions != count:
            raise ConfigurationError(
                f"Topic {topic.name} {'is missing' if description is None else f'has {description.partitions} partitions'}.",
                why=f"In an installation of {partitions} partitions it has {count}; an id belongs to one of them for ever, "
                "so the count is fixed when the installation is made.",
                fix="Set HEADRACE_PARTITIONS to the count of the installation, or create the topics (`headrace topics create`).",
                code="partition_count",
            )
    cluster_id = await admin.cluster_id(deadline_s=deadline_s)
    return TopicIds(cluster_id, found[EVENTS_RAW.name].topic_id)
