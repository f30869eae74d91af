"""Rule B3 as decisions: whether a generation is applied, which of its rows go in, and what was done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from headrace_core.copies import Copy, Settlement, settle

__all__ = ["DayApplied", "DayState", "Outcome", "RowChanges", "settle_day", "standing"]

Outcome = Literal["applied", "expired", "present", "superseded"]
"""``applied``; ``expired``: the day's rows have expired, only its aggregates were applied; ``present``: this sequence was
in already; ``superseded``: a later one is."""


@dataclass(frozen=True, slots=True)
class DayState:
    """A day's row of ops.day_generation; both as they are where there is none."""

    sequence: int | None = None
    expired: bool = False


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Rows of a table that were written."""

    inserted: int = 0
    deleted: int = 0
    changed: int = 0

    @property
    def written(self) -> int:
        """All of them."""
        return self.inserted + self.deleted + self.changed


@dataclass(frozen=True, slots=True)
class DayApplied:
    """What became of a generation. The counts are of rows of the events table: ``displaced`` were copies with a higher
    position (among them those of neighbouring days), ``present`` are the generation's rows beside a lower copy,
    ``suppressed`` those of suppressed subjects. ``aggregates`` gives the other tables by name.
    """

    outcome: Outcome
    sequence: int
    inserted: int = 0
    deleted: int = 0
    changed: int = 0
    displaced: int = 0
    present: int = 0
    suppressed: int = 0
    unchanged: int = 0
    aggregates: dict[str, RowChanges] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of a day's result, those of nothing left out; of the aggregates the rows written."""
        rows = {
            name: getattr(self, name)
            for name in ("inserted", "deleted", "changed", "displaced", "present", "suppressed", "unchanged")
        }
        tables = {name: changes.written for name, changes in self.aggregates.items()}
        return {f"warehouse_{name}": count for name, count in {**rows, **tables}.items() if count}

    @property
    def written(self) -> int:
        """Rows written to events and to the aggregates; those of rollups, which follow, are not counted."""
        rows = self.inserted + self.deleted + self.changed + self.displaced
        return rows + sum(changes.written for changes in self.aggregates.values())


def standing(state: DayState, sequence: int) -> Outcome | None:
    """Why a generation with this sequence is not to be applied; None where it is."""
    if state.sequence is None or state.sequence < sequence:
        return None
    return "present" if state.sequence == sequence else "superseded"


def settle_day(
    candidates: Iterable[Copy], stored: Iterable[Copy], frozen_days: Collection[date] = ()
) -> Settlement:
    """Rule L2 for the rows that a generation adds to the warehouse.

    A stored copy with the very source position of a candidate, on another day, is the same record before a reprocess
    moved it. It leaves with the candidate's arrival, whichever of the two days is applied first: else the record would
    be kept out by itself now, and be gone once the day that it left is applied.
    """
    staged = {(copy.dedup_id, copy.position): copy for copy in candidates}
    moved: list[Copy] = []
    others: list[Copy] = []
    for copy in stored:
        own = staged.get((copy.dedup_id, copy.position))
        elsewhere = own is not None and own.event_date != copy.event_date
        (moved if elsewhere and copy.event_date not in frozen_days else others).append(copy)
    settlement = settle(staged.values(), others, frozen_days)
    arrived = {(copy.dedup_id, copy.position) for copy in settlement.absent}
    settlement.displaced += [copy for copy in moved if (copy.dedup_id, copy.position) in arrived]
    return settlement
