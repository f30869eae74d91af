"""What a reprocess found, for people: ``reports/reprocess.json`` beside the run, written before anything is swapped. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace_core.keys import file_id
from headrace_spark.reprocessing import Selection

__all__ = [
    "CHANGED",
    "MISSING",
    "REJECTED",
    "ChangedRow",
    "DayMove",
    "Found",
    "ReprocessReport",
    "encode_report",
    "report_of",
]

CHANGED, MISSING, REJECTED = "changed", "without_raw", "rejected"
"""What becomes of a row that does not stay as it is: it has new values, or keeps its own, since its raw record is gone or
refused."""


class DayMove(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that change: the day that holds them, and the one that they belong to now; the same where they stay."""

    from_day: str
    to_day: str
    rows: int


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A changed row as a sample: texts of the columns that differ."""

    src_partition: int
    src_offset: int
    source: str
    event_id: str
    from_day: str
    to_day: str
    before: dict[str, str | None]
    after: dict[str, str | None]


class ReprocessReport(msgspec.Struct, frozen=True, kw_only=True):
    """Of the rows that the days hold, ``rows``, these are left alone: ``older`` than thirty days, ``waiting`` for their
    file to be loaded, ``without_raw`` record, ``rejected`` by this code (by reason), ``unchanged``. ``columns`` counts
    changed values by column."""

    version: int = 1
    days: tuple[str, ...]
    staged_files: int
    waiting_files: int
    raw_objects: int
    rows: int
    older: int
    waiting: int
    unchanged: int
    without_raw: int
    rejected: dict[str, int]
    changed: int
    columns: dict[str, int]
    moves: tuple[DayMove, ...]
    samples: tuple[ChangedRow, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of the report for the run's result."""
        return {
            "rows": self.rows,
            "rows_older": self.older,
            "rows_waiting": self.waiting,
            "rows_unchanged": self.unchanged,
            "rows_without_raw": self.without_raw,
            "rows_rejected": sum(self.rejected.values()),
            "rows_changed": self.changed,
            "rows_moved": sum(move.rows for move in self.moves if move.from_day != move.to_day),
            "raw_objects": self.raw_objects,
        }


encode_report = msgspec.json.Encoder(order="deterministic").encode
"""A report as JSON."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was written of a survey. ``groups``: rows and moved values per status, reason, from_day, to_day and file_id;
    ``columns``: changed rows by column; ``samples``: changed rows."""

    groups: Sequence[Mapping[str, Any]] = ()
    columns: Mapping[str, int] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()

    def rows(self, status: str) -> int:
        """Rows that ended so."""
        return sum(group["rows"] for group in self.groups if group["status"] == status)


def report_of(
    found: Found,
    days: Sequence[str],
    selection: Selection,
    held: Iterable[Mapping[str, Any]],
    *,
    raw_objects: int,
) -> ReprocessReport:
    """The report of a survey. ``held`` are the rows of the days by file, and how many of them are older."""
    ids = {file_id(key) for key in selection.files}
    taken = waiting = older = 0
    for group in held:
        older += group["older"]
        recent = group["rows"] - group["older"]
        if group["file_id"] in ids:
            taken += recent
        else:
            waiting += recent
    rejected: Counter[str] = Counter()
    for group in found.groups:
        if group["status"] == REJECTED:
            rejected[group["reason"]] += group["rows"]
    return ReprocessReport(
        days=tuple(days),
        staged_files=len(selection.files),
        waiting_files=len(selection.waiting),
        raw_objects=raw_objects,
        rows=taken + waiting + older,
        older=older,
        waiting=waiting,
        unchanged=taken - sum(group["rows"] for group in found.groups),
        without_raw=found.rows(MISSING),
        rejected=dict(rejected),
        changed=found.rows(CHANGED),
        columns=dict(found.columns),
        moves=_moves(found),
        samples=tuple(map(_sample, found.samples)),
    )


def _moves(found: Found) -> tuple[DayMove, ...]:
    rows: Counter[tuple[str, str]] = Counter()
    for group in found.groups:
        if group["status"] == CHANGED:
            rows[str(group["from_day"]), str(group["to_day"])] += group["rows"]
    return tuple(
        DayMove(from_day=days[0], to_day=days[1], rows=count) for days, count in sorted(rows.items())
    )


def _sample(row: Mapping[str, Any]) -> ChangedRow:
    return ChangedRow(
        src_partition=row["src_partition"],
        src_offset=row["src_offset"],
        source=row["source"],
        event_id=row["event_id"],
        from_day=str(row["from_day"]),
        to_day=str(row["event_date"]),
        before=row["before"],
        after=row["after"],
    )
