"""The three things that are staged, each with its topic, its intake and what is built from its cuts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace_core.paths import ChainKind
from headrace_core.topics import DEDUP_INDEX, EVENTS_CLEAN, EVENTS_RAW, Topic
from headrace_loader.archive import build_raw, build_verdicts
from headrace_loader.event_files import build_events
from headrace_loader.intakes import EventIntake, RawIntake, VerdictIntake
from headrace_loader.log_identity import LogIdentity
from headrace_loader.stage_messages import Contents, Cut, Intake

__all__ = ["ARCHIVE_LINES", "STAGE_LINES", "StageLine"]


@dataclass(frozen=True, slots=True)
class StageLine:
    """A kind of chain and how it is made. `build` takes the rows that `intake` gives."""

    kind: ChainKind
    topic: Topic
    intake: Callable[[LogIdentity], Intake[Any]]
    build: Callable[[Cut[Any]], Contents]


def _verdict_intake(log: LogIdentity) -> VerdictIntake:
    return VerdictIntake(cluster_id=log.cluster_id, raw_topic_id=log.topic_ids[EVENTS_RAW.name])


STAGE_LINES = (StageLine("events", EVENTS_CLEAN, lambda _: EventIntake(), build_events),)
"""What the role `stage` does."""

ARCHIVE_LINES = (
    StageLine("raw", EVENTS_RAW, lambda _: RawIntake(), build_raw),
    StageLine("verdicts", DEDUP_INDEX, _verdict_intake, build_verdicts),
)
"""What the role `archive` does."""
