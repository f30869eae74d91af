"""What must be true of lake days and of the warehouse beside them: at every swap and commit, and at rest.

At rest the truth is computed from scratch, from the chains alone: every accepted row once, its lowest copy, without the
subjects that were erased, with the customers that the edges say, by the code that came last.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from tests.chaos.day_engine import aggregates_of, resolved
from tests.chaos.day_jobs import new_code
from tests.chaos.day_rows import Values, content_hash, day_of, is_of, position_of
from tests.chaos.warehouse import DayCommit

from headrace_core.copies import Copy
from headrace_core.identity import resolve
from headrace_core.lake import Generation, LakeTable, Pointer, decode_generation, decode_pointer, staged_files
from headrace_core.paths import parse_pointer_key
from headrace_spark.planning import NEIGHBOURS
from headrace_spark.ports import Suppressions

if TYPE_CHECKING:
    from tests.chaos.days import Days
    from tests.chaos.world import World

__all__ = ["DayOracle"]


class DayOracle:
    """Pointers, generations and the batch jobs' commits."""

    def __init__(self, world: World, days: Days) -> None:
        self._world, self._days = world, days
        self._bad = world.violations
        self._seen = 0
        self.pointers: dict[str, Pointer] = {}
        self.generations: dict[str, Generation] = {}
        self._identities: dict[str, dict[str, str]] = {}
        """By day the identities that its current generation holds, and their users."""
        self._forgotten: list[Suppressions] = []
        self._commits = 0
        self._sequences: dict[date | None, int] = {}

    def observe(self) -> None:
        """Take in the pointers and commits since the last call."""
        writes = self._world.store.writes
        while self._seen < len(writes):
            key = writes[self._seen]
            self._seen += 1
            if parse_pointer_key(key) is not None:
                self._on_pointer(decode_pointer(self._world.store.objects[key]))
        warehouse = self._world.warehouse
        for commit in warehouse.day_commits:
            self._on_commit(commit)
        warehouse.day_commits.clear()
        if warehouse.commits != self._commits:
            self._commits = warehouse.commits
            self._check_forgotten((row.values for row in warehouse.rows), "the warehouse")

    def closed(self, subjects: Suppressions) -> None:
        """An erasure closed: from now on nobody may find a row of its subjects."""
        found = [day for day in self.generations if any(is_of(row, subjects) for row in self._rows(day))]
        if found:
            self._bad.add("E1 erased", f"the lake holds rows of {subjects} on {found}, though it is closed")
        if any(is_of(row.values, subjects) for row in self._world.warehouse.rows):
            self._bad.add("E1 erased", f"the warehouse holds rows of {subjects}, though it is closed")
        self._forgotten.append(subjects)

    def _rows(self, day: str) -> list[Values]:
        return self._days.files.table(self.generations[day], "events")

    def _check_forgotten(self, rows: Iterable[Values], where: str) -> None:
        if not self._forgotten:
            return
        for row in rows:
            if any(is_of(row, subjects) for subjects in self._forgotten):
                self._bad.add("E2 back", f"a row of an erased subject is in {where}: {row['event_id']}")
                return

    # D1: the lake.

    def _on_pointer(self, pointer: Pointer) -> None:
        day, before = pointer.event_date, self.pointers.get(pointer.event_date)
        if before == pointer:
            return
        generation = decode_generation(self._world.store.objects[pointer.result])
        self._world.say(f"pointer {day} {pointer.sequence} {pointer.result}")
        if pointer.sequence != (before.sequence if before else 0) + 1:
            self._bad.add("D1 sequence", f"{pointer} follows {before}")
        if generation.previous != (before.result if before else None):
            self._bad.add(
                "D1 overwritten", f"{pointer.result} was made from {generation.previous}, not {before}"
            )
        old = self.generations.get(day)
        lost = set(old.contains if old else ()) - set(generation.contains)
        undone = self._days.undone.get(generation.id.run)
        if undone is not None and (old is None or old.id.run != undone):
            self._bad.add("D1 undone", f"{pointer.result} took back {before}, which {undone} had not made")
        elif lost and undone is None:
            self._bad.add("D1 overwritten", f"{pointer.result} lacks {sorted(lost)} of {day}")
        self.pointers[day], self.generations[day] = pointer, generation
        rows = self._rows(day)
        self._check_forgotten(rows, f"the lake, {day}")
        self._check_kept(day, generation.job, rows)

    def _check_kept(self, day: str, job: str, rows: list[Values]) -> None:
        """D4: a reprocess never takes the last row of an identity out of the lake, not for a moment."""
        before = self._identities.get(day, {})
        self._identities[day] = {row["dedup_id"]: row["user_id"] for row in rows}
        if job != "reprocess" or not self._world.settings.unique:
            return
        for identity in before.keys() - set[str]().union(*self._identities.values()):
            if ("user", before[identity]) not in self._world.warehouse.suppressed:
                self._bad.add("D4 gone", f"identity {identity} left the lake with a reprocess of {day}")

    # D2: the warehouse.

    def _on_commit(self, commit: DayCommit) -> None:
        if commit.sequence is None:
            return
        before = self._sequences.get(commit.day, 0)
        if commit.sequence <= before:
            self._bad.add(
                "D2 older", f"sequence {commit.sequence} of {commit.day} was applied after {before}"
            )
        self._sequences[commit.day] = max(before, commit.sequence)
        come = [row.copy for row in commit.inserted]
        for row in commit.removed:
            if row.copy.file_id in commit.contains:
                continue
            lower = (
                copy.dedup_id == row.copy.dedup_id and copy.position <= row.copy.position for copy in come
            )
            if not any(lower):
                self._bad.add("D3 removed", f"{row.copy} was removed by a generation without its file")
        self._check_lowest(commit)
        for row in commit.inserted:
            if is_of(row.values, commit.suppressed):
                self._bad.add("S1 suppressed", f"a row of a suppressed subject was inserted: {row.copy}")

    def _check_lowest(self, commit: DayCommit) -> None:
        """L2: each row of the generation that was applied stands in the warehouse, or a lower copy beside it."""
        stored: dict[str, list[Copy]] = {}
        for row in self._world.warehouse.rows:
            stored.setdefault(row.copy.dedup_id, []).append(row.copy)
        for copy in commit.rows:
            near = [
                other.position
                for other in stored.get(copy.dedup_id, ())
                if abs((other.event_date - copy.event_date).days) <= 1
            ]
            if not near or max(near) > copy.position:
                self._bad.add("L2 lowest", f"{copy} of a generation that was applied stands beside {near}")

    # At rest.

    def _accepted(self) -> list[Values]:
        rows: list[Values] = []
        for partition in range(self._world.partition_count):
            for manifest in self._world.chains.events(partition):
                for file in staged_files(manifest):
                    rows += self._days.files.staged(file)
        return rows

    def truth(self) -> dict[str, list[Values]]:
        """The rows of each day as one clean run would have made them."""
        resolution = resolve(self._days.edges().records)
        lowest: dict[str, Values] = {}
        for row in sorted(self._accepted(), key=position_of):
            lowest.setdefault(row["dedup_id"], row)
        days: dict[str, list[Values]] = {}
        for row in lowest.values():
            true = resolved(new_code(row) if self._days.reprocessed else row, resolution)
            if not any(is_of(true, erasure.subjects) for erasure in self._days.erasures):
                days.setdefault(day_of(true), []).append(true)
        return days

    def at_rest(self) -> None:
        """Lake and warehouse say what a clean single run says; a day without rows may have an empty generation."""
        self.observe()
        truth, files = self.truth(), self._days.files
        for day in truth.keys() | self.generations.keys():
            true = truth.get(day, [])
            beside = [row for step in NEIGHBOURS for row in truth.get(self._days.beside(day, step), [])]
            expected: dict[LakeTable, list[Values]] = {"events": true, **aggregates_of(day, [*true, *beside])}
            for table, due in expected.items():
                generation = self.generations.get(day)
                found = [] if generation is None else files.table(generation, table)
                if content_hash(found) != content_hash(due):
                    self._bad.add("D1 rest", f"{table} of {day}: {_difference(found, due)}")
        stored = [row.values for row in self._world.warehouse.rows]
        rows = [row for of_day in truth.values() for row in of_day]
        if content_hash(stored) != content_hash(rows):
            self._bad.add("D2 rest", f"the warehouse: {_difference(stored, rows)}")
        for day, pointer in self.pointers.items():
            if self._sequences.get(date.fromisoformat(day), 0) != pointer.sequence:
                self._bad.add("D2 rest", f"the warehouse has not the last sequence of {day}")


_SHOWN = (
    "event_id",
    "source",
    "src_partition",
    "src_offset",
    "customer_id",
    "rules_version",
    "event_ts",
    "events",
)


def _difference(found: list[Values], rows: list[Values]) -> str:
    """What is too much and what is missing, shortly."""
    has, due = (
        {repr({name: str(row[name]) for name in _SHOWN if name in row}) for row in each}
        for each in (found, rows)
    )
    return f"has {sorted(has - due)[:3]}, should have {sorted(due - has)[:3]}"
