"""The evidence of an erasure, ``erasure/<request>.json``: what was deleted, and by when the rest expires (E4, E5). Pure.

It names no subject: what it says is kept for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from headrace_core.errors import BadData
from headrace_core.topics import EVENTS_CLEAN, EVENTS_QUARANTINE, EVENTS_RAW, Topic
from headrace_spark.ports import Suppressions

__all__ = [
    "Evidence",
    "begun",
    "closed",
    "decode_evidence",
    "encode_evidence",
    "expiry_days",
    "fingerprint",
    "found",
    "is_swapped",
    "settled",
    "sizes",
    "swapped",
]

_KEPT_DAYS = 30
"""Staged, raw and verdict objects, edges and reports of runs: retention deletes them by then."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all attempts. ``subjects`` are ids per kind, aliases included; ``deleted`` are rows by table, ``edges``
    that got a tombstone, and objects: ``files`` of the lake and ``overflow``; ``extracts`` are the folders of those that were
    taken back. ``expires_by`` gives the UTC date after which no copy of each kind is left. From ``pending`` on it is for the
    next attempt, and empty once the evidence is closed."""

    version: int = 1
    request: str
    state: str = "open"
    subjects: dict[str, int] = {}
    deleted: dict[str, int] = {}
    days_rewritten: tuple[str, ...] = ()
    days_repointed: int = 0
    extracts: tuple[str, ...] = ()
    expires_by: dict[str, str] = {}
    opened_ms: int
    closed_ms: int | None = None

    pending: dict[str, int] = {}
    """What an attempt has found, by the names of ``deleted``, and not yet said to have deleted."""
    swapped_by: str = ""
    """The run that has swapped every day, for the subjects of ``covers``."""
    covers: str = ""
    """`fingerprint` of the subjects that the days were swapped for."""
    waits_for: tuple[tuple[str, int], ...] = ()
    """The attempts that had planned before the last swap."""
    overflow: tuple[str, ...] = ()
    """Objects that rows of the subjects named; those that nobody else names are deleted before the end."""


encode_evidence = msgspec.json.Encoder(order="deterministic").encode
"""Evidence as JSON."""

_decode = msgspec.json.Decoder(Evidence).decode


def decode_evidence(data: bytes) -> Evidence:
    """Bytes of an evidence object; BadData where they are none."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise BadData(
            "The evidence of an erasure cannot be read.",
            why=str(error),
            fix="Restore the object from its bucket version and run the job again.",
            code="evidence_unreadable",
        ) from error


def fingerprint(subjects: Suppressions) -> str:
    """Tells whether two attempts are about the same subjects. It is not kept: who guesses all of them could prove it."""
    kinds = (subjects.users, subjects.anonymous, subjects.customers)
    return hashlib.sha256(msgspec.json.encode([sorted(kind) for kind in kinds])).hexdigest()


def is_swapped(evidence: Evidence, subjects: Suppressions) -> bool:
    """Whether an attempt has swapped every day for just these subjects, and waits for others."""
    return bool(evidence.swapped_by) and evidence.covers == fingerprint(subjects)


def found(evidence: Evidence, counts: Mapping[str, int]) -> Evidence:
    """The evidence before an attempt deletes what ``counts`` say is there. Of what an attempt before found and did not
    account for, since it died, all that is no longer there was deleted by it."""
    gone = {name: evidence.pending.get(name, 0) - count for name, count in counts.items()}
    credited = settled(evidence, {name: count for name, count in gone.items() if count > 0})
    return msgspec.structs.replace(credited, pending={**evidence.pending, **counts})


def settled(evidence: Evidence, counts: Mapping[str, int]) -> Evidence:
    """The evidence with what was deleted; none of that is pending any more."""
    names = sorted(evidence.deleted.keys() | counts.keys())
    return msgspec.structs.replace(
        evidence,
        deleted={name: evidence.deleted.get(name, 0) + counts.get(name, 0) for name in names},
        pending={name: count for name, count in evidence.pending.items() if name not in counts},
    )


def begun(evidence: Evidence, *, holding: Collection[str], overflow: Collection[str]) -> Evidence:
    """The evidence before days are swapped: those that hold rows of the subjects will be written anew, by this attempt or
    a later one."""
    return msgspec.structs.replace(
        evidence,
        state="open",
        days_rewritten=tuple(sorted({*evidence.days_rewritten, *holding})),
        overflow=tuple(sorted({*evidence.overflow, *overflow})),
        swapped_by="",
        closed_ms=None,
    )


def swapped(
    evidence: Evidence,
    subjects: Suppressions,
    *,
    run: str,
    days: Collection[str],
    rewritten: Collection[str],
    planned_before: Collection[tuple[str, int]],
    now_ms: int,
) -> Evidence:
    """The evidence once ``run`` has swapped all ``days``, those of ``rewritten`` to other rows."""
    all_rewritten = {*evidence.days_rewritten, *rewritten}
    return msgspec.structs.replace(
        evidence,
        subjects=sizes(subjects),
        days_rewritten=tuple(sorted(all_rewritten)),
        days_repointed=len(set(days) - all_rewritten),
        expires_by=expiry_days(now_ms),
        swapped_by=run,
        covers=fingerprint(subjects),
        waits_for=tuple(sorted({*evidence.waits_for, *planned_before})),
    )


def closed(evidence: Evidence, *, now_ms: int) -> Evidence:
    """The evidence at its end."""
    return msgspec.structs.replace(
        evidence,
        state="closed",
        closed_ms=now_ms,
        pending={},
        swapped_by="",
        covers="",
        waits_for=(),
        overflow=(),
    )


def sizes(subjects: Suppressions) -> dict[str, int]:
    """Ids per kind."""
    return {
        "users": len(subjects.users),
        "anonymous": len(subjects.anonymous),
        "customers": len(subjects.customers),
    }


def expiry_days(now_ms: int) -> dict[str, str]:
    """By when each copy that is not deleted at once is gone: its own time, and for a topic a segment of a day more."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    objects = dict.fromkeys(("raw", "staged", "verdicts", "runs"), _KEPT_DAYS)
    topics = {topic.name: _topic_days(topic) for topic in (EVENTS_RAW, EVENTS_CLEAN, EVENTS_QUARANTINE)}
    return {
        name: str((now + timedelta(days=days)).date()) for name, days in sorted({**objects, **topics}.items())
    }


def _topic_days(topic: Topic) -> int:
    return (int(topic.config["retention.ms"]) + int(topic.config["segment.ms"])) // 86_400_000
