"""The errors with which an owner refuses to go on, and the checks that raise them. Pure."""

from __future__ import annotations

from headrace_core.block import BlockHeader
from headrace_core.errors import Bug, ConfigurationError
from headrace_dedup.ports import OwnerIdentity

__all__ = ["check_block", "check_origin", "index_gap", "rebuild_unfinished"]


def check_block(header: BlockHeader, identity: OwnerIdentity) -> None:
    """ConfigurationError where a block belongs to another log than the owner's."""
    theirs = header.cluster_id, header.topic_id, header.partition
    ours = identity.cluster_id, identity.topic_id, identity.partition
    if theirs != ours:
        raise ConfigurationError(
            f"A block of dedup.index, partition {identity.partition}, is of another log.",
            why=f"It names cluster, topic and partition {theirs}; this worker reads {ours}. Offsets of one log mean "
            "nothing in another.",
            fix="Connect to the cluster that the installation was made on; if events.raw was deleted and made anew, "
            "delete all topics of the installation and begin again.",
            code="foreign_index",
        )


def check_origin(identity: OwnerIdentity, *, rebuild_index: bool) -> None:
    """ConfigurationError where a partition with a past has no index, unless the index may be rebuilt."""
    if not rebuild_index:
        raise ConfigurationError(
            f"Partition {identity.partition} of events.raw holds records, but dedup.index has no valid block for it.",
            why="Its index was lost or outlived its retention; beginning with an empty table would accept again what "
            "was accepted before.",
            fix="Restore the topic dedup.index; or start once with --rebuild-index, which takes what was accepted from "
            "events.clean.",
            code="index_missing",
        )


def rebuild_unfinished(header: BlockHeader) -> ConfigurationError:
    """The index ends in the middle of a rebuild."""
    return ConfigurationError(
        f"The rebuild of dedup.index, partition {header.partition}, was interrupted at source offset {header.end}.",
        why="What events.clean holds above it is not in the index yet and would be accepted again.",
        fix="Start again with --rebuild-index; it goes on where it stopped.",
        code="index_rebuild_unfinished",
    )


def index_gap(header: BlockHeader, position: int) -> Bug:
    """A valid block that does not begin where the one before ended."""
    return Bug(
        f"The valid block at offset {header.index_offset} of dedup.index, partition {header.partition}, begins at "
        f"{header.start}, but the one before ended at {position}.",
        why="The rules of the index exclude it: its writer went on without reading the index, or records are missing.",
        fix="Keep the topic as it is and report it; `headrace doctor` shows the blocks around it.",
        code="index_gap",
    )
