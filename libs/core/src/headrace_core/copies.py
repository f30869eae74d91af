"""Rule L2: which copy of an identity stays. Pure; the memory and the PostgreSQL warehouse both ask it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date

__all__ = ["Copy", "Settlement", "settle"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One row of an identity: its day, its source position (partition, offset) and the file that it came in."""

    dedup_id: str
    event_date: date
    position: tuple[int, int]
    file_id: int


@dataclass(slots=True)
class Settlement:
    """Staged copies to insert, staged copies to leave out, and copies of the table to remove."""

    absent: list[Copy] = field(default_factory=list)
    present: list[Copy] = field(default_factory=list)
    displaced: list[Copy] = field(default_factory=list)


def settle(staged: Iterable[Copy], stored: Iterable[Copy], frozen_days: Collection[date] = ()) -> Settlement:
    """Decide the copies in the order of their source positions, as if each were loaded alone.

    Of copies within a day of each other the lowest position stays, except that a copy stored on a frozen day (expired:
    its aggregates cannot be taken back from rows) is never displaced.
    """
    stay: dict[str, list[Copy]] = {}
    for copy in stored:
        stay.setdefault(copy.dedup_id, []).append(copy)
    result = Settlement()
    for copy in sorted(staged, key=lambda copy: copy.position):
        others = stay.setdefault(copy.dedup_id, [])
        near = [other for other in others if abs((other.event_date - copy.event_date).days) <= 1]
        if any(other.position <= copy.position or other.event_date in frozen_days for other in near):
            result.present.append(copy)
            continue
        for other in near:
            others.remove(other)
        result.displaced.extend(near)
        others.append(copy)
        result.absent.append(copy)
    return result
