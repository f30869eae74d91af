"""What a plan reads, decided from manifests, pointers and generations (rules B1 and B2). Pure.

A day is up to date when its generation contains every staged file that has rows of it, and when its neighbours look as
they did when its sessions were computed. "Look" is the set of staged files and the last revision of rows, never the name
of a generation: two neighbours that are made anew in turn would chase each other for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from headrace_core.lake import (
    DayInput,
    Generation,
    Plan,
    PlanId,
    SeenPointer,
    StagedFile,
    Versions,
    staged_files,
)
from headrace_core.manifest import Manifest

__all__ = [
    "BROADCAST_ROWS",
    "EARLIER",
    "EARLIER_DAYS",
    "LATER",
    "NEIGHBOURS",
    "DayState",
    "Inputs",
    "chain_ends",
    "days_behind",
    "digest",
    "files_by_day",
    "is_current",
    "make_plan",
    "may_hold",
    "neighbours_of",
]

NEIGHBOURS = (-2, -1, 1, 2)
"""Days, counted from a day, whose rows decide about its copies and its sessions. The days two away decide whether a copy on
the day between them stays."""

BROADCAST_ROWS = 60_000_000
"""Rows to read up to which repeated ids are broadcast: at 15 % duplicates fewer than 10 million of them."""

EARLIER_DAYS = 90
"""Days before a day in which its users may have been seen first."""

EARLIER = "earlier"
"""How the days before look together, beside the neighbours in ``seen``."""

LATER = "later"
"""Whether there are rows behind the day after, so that its sessions have ended, beside the neighbours in ``seen``."""

_LATER_DAYS = 31
"""A day farther ahead than this is some client's broken clock and ends no session."""

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class DayState:
    """A day's pointer and generation as they were read together; both None where the day has none."""

    pointer: SeenPointer | None = None
    generation: Generation | None = None

    @property
    def contains(self) -> frozenset[str]:
        """Keys of the staged files that the generation contains."""
        return frozenset() if self.generation is None else frozenset(self.generation.contains)

    @property
    def revision(self) -> str:
        """See `headrace_core.lake.Generation`."""
        return "" if self.generation is None else self.generation.revision


_NO_STATE = DayState()


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that plans are made from, read before the first of them. Days are dates as text."""

    files: Mapping[str, Sequence[StagedFile]]
    states: Mapping[str, DayState]
    chain_ends: Mapping[str, int]

    def state(self, day: str) -> DayState:
        """The state of a day."""
        return self.states.get(day, _NO_STATE)

    def day(self, day: str) -> DayInput:
        """What a plan reads of a day: the generation, and the files that it does not contain, in chain order."""
        state = self.state(day)
        contained = state.contains
        read = [file for file in self.files.get(day, ()) if file.key not in contained]
        read.sort(key=lambda file: (file.partition, file.chain_start, file.key))
        return DayInput(event_date=day, pointer=state.pointer, read=tuple(read))

    def digest(self, day: str) -> str:
        """How a day looks to its neighbours."""
        state = self.state(day)
        return digest({file.key for file in self.files.get(day, ())} | state.contains, state.revision)

    def earlier(self, day: str) -> dict[str, str]:
        """The results of the days before, by day."""
        first = str(date.fromisoformat(day) - timedelta(days=EARLIER_DAYS))
        return {
            other: state.pointer.result
            for other, state in sorted(self.states.items())
            if first <= other < day and state.pointer is not None
        }

    def seen(self, day: str) -> dict[str, str]:
        """How the days look that a plan of ``day`` reads beside it; those without rows are left out."""
        looks = {other: self.digest(other) for other in neighbours_of(day)}
        states = {other: self.states[other] for other in self.earlier(day)}
        stored = [f"{other} {digest(state.contains, state.revision)}" for other, state in states.items()]
        looks[EARLIER] = digest(stored, "")
        looks[LATER] = "yes" if self._has_later(day) else ""
        return {other: look for other, look in looks.items() if look}

    def _has_later(self, day: str) -> bool:
        first, last = (str(date.fromisoformat(day) + timedelta(days=days)) for days in (2, _LATER_DAYS))
        return any(first <= other <= last for other in {*self.files, *self.states})


def digest(keys: Collection[str], revision: str) -> str:
    """32 hex digits for a set of staged files and a revision; empty text for a day without either."""
    if not keys and not revision:
        return ""
    return hashlib.sha256("\n".join([revision, *sorted(keys)]).encode()).hexdigest()[:32]


def files_by_day(manifests: Iterable[Manifest]) -> dict[str, list[StagedFile]]:
    """Per event date the staged files that may hold rows of it."""
    found: dict[str, list[StagedFile]] = {}
    for manifest in manifests:
        files = staged_files(manifest)
        for day, rows in manifest.rows_by_event_date.items():
            if rows > 0:
                found.setdefault(day, []).extend(file for file in files if may_hold(file, day))
    return found


def may_hold(file: StagedFile, day: str) -> bool:
    """Whether the file's event times reach into the day."""
    if file.min_event_ts is None or file.max_event_ts is None:
        return file.rows > 0
    start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
    return file.min_event_ts < start + _DAY_US and file.max_event_ts >= start


def chain_ends(chains: Mapping[int, Sequence[Manifest]]) -> dict[str, int]:
    """Per partition the offset up to which the chain was read."""
    return {str(partition): chain[-1].end for partition, chain in sorted(chains.items()) if chain}


def neighbours_of(day: str) -> list[str]:
    """The days whose rows decide about a day's, oldest first."""
    return [str(date.fromisoformat(day) + timedelta(days=offset)) for offset in NEIGHBOURS]


def is_current(inputs: Inputs, day: str, *, besides: Collection[str] = ()) -> bool:
    """Whether a plan of the day would make nothing new. ``besides`` are entries of ``seen`` that may differ."""
    generation = inputs.state(day).generation
    if generation is None or inputs.day(day).read:
        return False
    now = inputs.seen(day)
    return all(
        generation.seen.get(other, "") == now.get(other, "")
        for other in generation.seen.keys() | now.keys()
        if other not in besides
    )


def days_behind(inputs: Inputs, *, ended_before: date, besides: Collection[str]) -> list[str]:
    """The days before ``ended_before`` that are not up to date, oldest first. A day without any file is no day.

    That an earlier day has changed does not count: one late row would have three months made anew for their cohorts.
    """
    known = set(inputs.files) | set(inputs.states)
    waiting = (day for day in sorted(known - set(besides)) if day < str(ended_before))
    return [day for day in waiting if not is_current(inputs, day, besides=(EARLIER,))]


def make_plan(
    inputs: Inputs,
    day: str,
    plan_id: PlanId,
    *,
    job: str,
    edges: str,
    edges_offset: int,
    made_ms: int,
    ends_by_ms: int,
) -> Plan:
    """The frozen input of a new generation of ``day``."""
    of_day = inputs.day(day)
    neighbours = tuple(inputs.day(other) for other in neighbours_of(day))
    rows = of_day.rows + sum(neighbour.rows for neighbour in neighbours)
    return Plan(
        id=plan_id,
        job=job,
        day=of_day,
        neighbours=neighbours,
        seen=inputs.seen(day),
        earlier=inputs.earlier(day),
        chain_ends=dict(inputs.chain_ends),
        edges=edges,
        edges_offset=edges_offset,
        versions=Versions(),
        dedup="broadcast" if rows <= BROADCAST_ROWS else "hash",
        made_ms=made_ms,
        ends_by_ms=ends_by_ms,
    )
