"""Which log this is: cluster and topic ids, and partition counts that must be those of the installation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from headrace_core.errors import ConfigurationError, Unavailable
from headrace_core.topics import Topic
from headrace_runtime.ports_log import LogAdmin, TopicDescription

__all__ = ["LogIdentity", "read_log_identity"]


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Id of the cluster, and of each topic by its name."""

    cluster_id: str
    topic_ids: Mapping[str, str]


async def read_log_identity(
    admin: LogAdmin, topics: Collection[Topic], partitions: int, *, deadline_s: float
) -> LogIdentity:
    """Ask the cluster. Raises Unavailable where topics are missing, ConfigurationError where one has another partition
    count than the installation: identities would go to other partitions than before."""
    cluster_id = await admin.cluster_id(deadline_s=deadline_s)
    found = await admin.describe([topic.name for topic in topics], deadline_s=deadline_s)
    missing = sorted(topic.name for topic in topics if topic.name not in found)
    if missing:
        raise Unavailable(
            f"The topics {', '.join(missing)} do not exist.",
            why="They are made at installation.",
            fix="Finish the installation; this process goes on by itself once they exist.",
            code="topics_missing",
        )
    for topic in topics:
        if topic.partitions == "P":
            _check_count(found[topic.name], partitions)
    return LogIdentity(cluster_id, {name: topic.topic_id for name, topic in found.items()})


def _check_count(topic: TopicDescription, partitions: int) -> None:
    if topic.partitions != partitions:
        raise ConfigurationError(
            f"The topic {topic.name} has {topic.partitions} partitions, the installation {partitions}.",
            why="The partition count is fixed at installation: with another one, copies of an event meet no more.",
            fix="Set HEADRACE_PARTITIONS to what the installation was made with; never add partitions to its topics.",
            code="topic_partitions",
        )
