"""What a reprocess changes, and in which order; what an undo may take back (rule B4). Pure.

A reprocess computes rows anew, from the bytes that their events came in as, by today's rules. A row keeps its source
position; it may come to lie on another day. Rows that a day holds stay in one generation at least at every moment: a day
that a row enters is swapped before the day that it leaves. A run that ends in between leaves a row on two days, and
the next attempt, which looks at the lake as it is then, takes it from the one where it does not belong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from headrace_core.errors import UsageError
from headrace_core.lake import Generation, Plan, PlanId

__all__ = [
    "REPROCESSED_DAYS",
    "DayStep",
    "Move",
    "Selection",
    "Taken",
    "check_undo",
    "order_days",
    "restored",
    "select_files",
    "taken_back",
]

REPROCESSED_DAYS = 30
"""Rows received longer ago keep what their generation says: raw bytes and verdicts are kept that long."""

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are computed anew: those of ``files`` that were received at ``received_from_us`` (UTC us) or later.

    ``waiting`` are files that the loader has not loaded yet. A row of them would be moved in the lake and the warehouse,
    and be loaded afterwards on the day that it left. They are for the next reprocess.
    """

    files: frozenset[str]
    waiting: frozenset[str]
    received_from_us: int

    def takes(self, file_key: str, received_us: int) -> bool:
        """Whether a row of this file and receive time is computed anew."""
        return file_key in self.files and received_us >= self.received_from_us


@dataclass(frozen=True, slots=True)
class Move:
    """Rows of one staged file that change: the day that holds them, the one that they belong to, and how many they are.
    Both days are the same where only values change."""

    from_day: str
    to_day: str
    file_key: str
    rows: int = 1


@dataclass(frozen=True, slots=True)
class DayStep:
    """One swap of a reprocess. ``contains`` are the files of rows that enter. ``keeps_leaving``: rows that belong elsewhere
    stay in this generation, since their other day is not swapped yet; the day comes again at the end."""

    day: str
    contains: frozenset[str] = frozenset()
    keeps_leaving: bool = False


def select_files(files: Iterable[str], loaded: Collection[str], *, now_us: int) -> Selection:
    """Choose among staged files by the keys of those that stand in ops.load_ledger."""
    known = frozenset(files)
    there = known.intersection(loaded)
    return Selection(there, known - there, now_us - REPROCESSED_DAYS * _DAY_US)


def order_days(moves: Iterable[Move]) -> list[DayStep]:
    """The swaps of a reprocess, in their order: every day that a row leaves, enters or changes on.

    A day comes after those that its rows move to. Where days exchange rows, one of them first takes in what enters.
    """
    entering: defaultdict[str, set[str]] = defaultdict(set)
    goals: dict[str, set[str]] = {}
    for move in moves:
        goals.setdefault(move.from_day, set())
        goals.setdefault(move.to_day, set())
        if move.from_day != move.to_day:
            goals[move.from_day].add(move.to_day)
            entering[move.to_day].add(move.file_key)
    steps: list[DayStep] = []
    while goals:
        ready = sorted(day for day, others in goals.items() if not others)
        day = ready[0] if ready else min(frozenset[str]().union(*goals.values()))
        steps.append(DayStep(day, frozenset(entering.pop(day, ())), keeps_leaving=not ready))
        for others in goals.values():
            others.discard(day)
        if ready:
            del goals[day]
    return steps


@dataclass(frozen=True, slots=True)
class Taken:
    """What a run did to a day: the generation that is current, the last one before the run, and the files that the run's
    plans read. The generation before is None where the run made the day's first."""

    current: Generation
    before: Generation | None
    read: frozenset[str]


def check_undo(run: str, by: str, histories: Mapping[str, Sequence[Generation]]) -> list[str]:
    """The days that ``run`` made and the undoing run ``by`` has still to take back, those that regain rows first.

    ``histories`` gives the generations of each day that the run planned, the current one first, each followed by the one
    before it. Refuses (UsageError) where a later generation followed on any day, or where the one before the run is not
    among them though there was one: all of a run is taken back, or nothing.
    """
    left: dict[str, Generation] = {}
    moved: list[str] = []
    for day, history in histories.items():
        made = [generation for generation in history if generation.id.run == run]
        if not made or history[0].id.run == by:
            continue
        left[day] = history[0]
        if history[0].id.run != run:
            moved.append(day)
    if moved:
        raise UsageError(
            f"The run {run} cannot be taken back.",
            why=f"A later generation followed on {', '.join(sorted(moved))}: its rows would go with the run's.",
            fix="Reprocess the days again, with the rules that are right; only what nothing followed can be undone.",
            code="undo_refused",
        )
    if lost := sorted(day for day in left if _is_lost(run, histories[day])):
        raise UsageError(
            f"The run {run} cannot be taken back.",
            why=f"What {', '.join(lost)} held before it is no longer kept: the record of that generation is gone.",
            fix="Restore the record (the result.json that the run's first generation of the day names as previous) from its"
            " bucket version, or reprocess the days again with the rules that are right.",
            code="undo_refused",
        )
    return sorted(left, key=lambda day: (left[day].id.attempt, left[day].id.plan), reverse=True)


def _is_lost(run: str, history: Sequence[Generation]) -> bool:
    """Whether there was a generation before the run that a day's history does not reach any more."""
    return all(generation.id.run == run for generation in history) and history[-1].previous is not None


def taken_back(run: str, history: Sequence[Generation], plans: Sequence[Plan]) -> Taken:
    """What there is to take back on a day. ``history`` begins with the current generation, made by ``run``; ``plans`` are
    those of the run's attempts on this day that are in it."""
    before = next((generation for generation in history if generation.id.run != run), None)
    return Taken(history[0], before, frozenset(file.key for plan in plans for file in plan.day.read))


def restored(taken: Taken, identity: PlanId, *, job: str, previous: str, made_ms: int) -> Generation:
    """The generation with the rows that the day had before the run; ``previous`` is the key of the current one.

    Files that the run read are new again, so the next daily reads them. Those of rows that had entered count as contained:
    the warehouse takes out what it holds of them on this day.
    """
    before = taken.before or Generation(
        id=identity, job=job, event_date=taken.current.event_date, made_ms=made_ms
    )
    contains = frozenset(taken.current.contains) - taken.read
    return msgspec.structs.replace(
        before,
        id=identity,
        job=job,
        previous=previous,
        contains=tuple(sorted(contains.union(before.contains))),
        revision=identity.generation,
        made_ms=made_ms,
    )
