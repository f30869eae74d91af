"""The engine of the simulated batch jobs: plain Python where production has Spark, over the same plans.

It reads exactly what the plan names, writes under the plan's own prefixes, and makes two aggregates: `user_day` of the
day's own rows, and `sessions`, which here counts each user's rows on the day and beside it, so that it depends on the
neighbours as real sessions do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from tests.chaos.day_rows import (
    Values,
    copy_of,
    day_of,
    decode_rows,
    encode_rows,
    is_of,
    lake_file,
    position_of,
    staged_rows,
)
from tests.chaos.guards import Guard
from tests.chaos.processes import Turns
from tests.chaos.store import SimulatedStore

from headrace_core.copies import settle
from headrace_core.errors import BadData
from headrace_core.identity import Resolution, resolve
from headrace_core.lake import DayInput, Generation, LakeFile, LakeTable, Plan, StagedFile
from headrace_core.paths import lake_prefix
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.ports import Made, Suppressions

__all__ = ["DayFiles", "Recomputed", "SimulatedEngine", "aggregates_of", "resolved"]


class DayFiles:
    """Reads staged files and generations. Files never change, so each is decoded once."""

    def __init__(self, store: SimulatedStore) -> None:
        self._store = store
        self._staged: dict[str, list[Values]] = {}
        self._lake: dict[str, list[Values]] = {}

    def staged(self, file: StagedFile) -> list[Values]:
        """The rows of a staged file, of all its days."""
        if file.key in self._store.torn or file.key not in self._staged:
            self._staged[file.key] = staged_rows(file, self._store.get(file.key))
        return self._staged[file.key]

    def lake(self, file: LakeFile) -> list[Values]:
        """The rows of a lake file; BadData where it is gone."""
        data = self._store.get(file.key)
        if data is None:
            raise BadData("A lake file is gone.", why=file.key, fix="restore it", code="lake_file_gone")
        if file.key not in self._lake:
            self._lake[file.key] = decode_rows(data)
        return self._lake[file.key]

    def table(self, generation: Generation, table: LakeTable) -> list[Values]:
        """The rows of a table of a generation."""
        return [row for file in generation.files(table) for row in self.lake(file)]

    def rows(self, of_day: DayInput, generation: Generation | None) -> list[Values]:
        """The rows that a plan reads of a day: the generation's, and those of the files that it does not contain."""
        rows = [] if generation is None else list(self.table(generation, "events"))
        rows += [row for file in of_day.read for row in self.staged(file) if day_of(row) == of_day.event_date]
        return rows


def resolved(row: Values, resolution: Resolution) -> Values:
    """The row with the customer that the edges say."""
    customer = resolution.index.customer_of(row["user_key"])
    return {**row, "customer_id": customer, "identity_status": "resolved" if customer else "anonymous"}


def aggregates_of(day: str, kept: Collection[Values]) -> dict[LakeTable, list[Values]]:
    """The day's aggregates from the rows that stay on it and beside it."""
    own = Counter((row["user_key"], row["source"]) for row in kept if day_of(row) == day)
    users = sorted({user for user, _ in own})
    beside = Counter((row["user_key"], day_of(row)) for row in kept)
    days = [str(date.fromisoformat(day) + timedelta(days=step)) for step in (-1, 0, 1)]
    user_day = [
        {"user_key": user, "source": source, "events": count} for (user, source), count in sorted(own.items())
    ]
    sessions = [{"user_key": user, "events": [beside[user, each] for each in days]} for user in users]
    return {"user_day": user_day, "sessions": sessions}


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What a reprocess knows: the new rows by source position. ``keeps_leaving``: see `DayStep`."""

    rows: Mapping[tuple[int, int], Values] = field(default_factory=dict)
    keeps_leaving: bool = False

    def revise(self, day: str, rows: Iterable[Values]) -> list[Values]:
        """The rows of a day: recomputed ones in place of the old, without those that leave, with those that enter."""
        revised: dict[tuple[int, int], Values] = {}
        for row in rows:
            new = self.rows.get(position_of(row), row)
            if day_of(new) == day:
                revised[position_of(row)] = new
            elif self.keeps_leaving:
                revised[position_of(row)] = row
        for position, new in self.rows.items():
            if day_of(new) == day:
                revised.setdefault(position, new)
        return list(revised.values())


class SimulatedEngine:
    """`headrace_spark.ports.DayEngine` and `SubjectRows` for one process."""

    def __init__(
        self,
        store: SimulatedStore,
        files: DayFiles,
        turns: Turns,
        without: Collection[Guard],
        recomputed: Recomputed | None = None,
    ) -> None:
        self._store, self._files, self._turns = store, files, turns
        self._without, self._recomputed = without, recomputed

    async def make(
        self,
        plan: Plan,
        generations: Mapping[str, Generation],
        edges: EdgeSnapshot,
        suppressed: Suppressions,
    ) -> Made:
        """See `DayEngine`."""
        await self._turns.turn(decisive=0.3)  # the suppression list was read
        day = plan.day.event_date
        resolution = resolve(edges.records)
        rows: list[Values] = []
        for of_day in (plan.day, *plan.neighbours):
            found = self._files.rows(of_day, generations.get(of_day.event_date))
            self._refuse_repeated(found)
            if of_day is plan.day and self._recomputed is not None:
                found = self._recomputed.revise(day, found)
            rows += [
                row for row in (resolved(each, resolution) for each in found) if not is_of(row, suppressed)
            ]
        kept = self._kept(rows)
        own = [row for row in kept if day_of(row) == day]
        made: dict[LakeTable, list[Values]] = {"events": own, **aggregates_of(day, kept)}
        tables = {table: await self._write(plan, table, found) for table, found in made.items()}
        return Made(tables, {"rows": len(own)})

    @staticmethod
    def _refuse_repeated(rows: Collection[Values]) -> None:
        """As production: a file that the generation contains was read again."""
        if len({(position_of(row), row["file_id"]) for row in rows}) < len(rows):
            raise AssertionError("a plan reads the record of one source position twice")

    def _kept(self, rows: Collection[Values]) -> list[Values]:
        by_copy = [(copy_of(row), row) for row in rows]
        if Guard.LOWEST_IN_LAKE in self._without:
            first: dict[str, Values] = {}
            for copy, row in by_copy:
                first.setdefault(copy.dedup_id, row)
            return list(first.values())
        absent = {id(copy) for copy in settle([copy for copy, _ in by_copy], ()).absent}
        return [row for copy, row in by_copy if id(copy) in absent]

    async def _write(self, plan: Plan, table: LakeTable, rows: list[Values]) -> tuple[LakeFile, ...]:
        if not rows:
            return ()
        key = f"{lake_prefix(table, plan.day.event_date, plan.id.generation)}part-0.msgpack"
        data = encode_rows(rows)
        await self._turns.turn()
        self._store.put(key, data)
        return (lake_file(key, data, len(rows)),)

    async def holds(self, generation: Generation, subjects: Suppressions) -> bool:
        """See `SubjectRows`."""
        return any(is_of(row, subjects) for row in self._files.table(generation, "events"))
