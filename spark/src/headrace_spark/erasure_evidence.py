"""The evidence of an erasure, ``erasure/<request>.json``: what was deleted, and by when the rest expires (E4, E5). Pure.

It names no subject: what it says is kept for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from headrace_core.errors import BadData
from headrace_core.topics import EVENTS_CLEAN, EVENTS_QUARANTINE, EVENTS_RAW, Topic

__all__ = ["Evidence", "decode_evidence", "encode_evidence", "expiry_days", "opened"]

_KEPT_DAYS = 30
"""Staged, raw and verdict objects, edges and reports of runs: retention deletes them by then."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all attempts. ``subjects`` are ids per kind, aliases included; ``expires_by`` gives the UTC date after which
    no copy of each kind is left; ``waits_for`` are the attempts of other runs that had planned before the days were swapped."""

    version: int = 1
    request: str
    state: str = "open"
    subjects: dict[str, int] = {}
    rows_deleted: dict[str, int] = {}
    days_rewritten: tuple[str, ...] = ()
    days_repointed: int = 0
    files_deleted: int = 0
    extracts_deleted: int = 0
    overflow_deleted: int = 0
    edges_tombstoned: int = 0
    waits_for: tuple[tuple[str, int], ...] = ()
    overflow: tuple[str, ...] = ()
    """Objects that rows of the subjects named; those that nobody else names are deleted before the end."""
    expires_by: dict[str, str] = {}
    opened_ms: int
    closed_ms: int | None = None


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


def opened(
    evidence: Evidence,
    *,
    subjects: Mapping[str, int],
    rows_deleted: Mapping[str, int],
    planned_before: Collection[tuple[str, int]],
    now_ms: int,
) -> Evidence:
    """The evidence once an attempt has deleted and swapped; what was counted before stays counted."""
    names = evidence.rows_deleted.keys() | rows_deleted.keys()
    return msgspec.structs.replace(
        evidence,
        state="open",
        subjects=dict(subjects),
        rows_deleted={
            name: evidence.rows_deleted.get(name, 0) + rows_deleted.get(name, 0) for name in sorted(names)
        },
        waits_for=tuple(sorted({*evidence.waits_for, *planned_before})),
        expires_by=expiry_days(now_ms),
        closed_ms=None,
    )


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
