"""Ports of the batch jobs: the lake, the engine that computes, the warehouse, the gate. Every call keeps a deadline of its own.

Production has the object store, Spark, PostgreSQL or Redshift, and Great Expectations behind them; the chaos tests have
simulated ones, so that what decides about a day (`headrace_spark.settling`) is the same code in both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from headrace_core.lake import Generation, LakeFile, LakeTable, Plan, SeenPointer
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.planning import DayState, Inputs
from headrace_spark.run_time import is_past

__all__ = [
    "REQUEST_LIVES_MS",
    "Applied",
    "CustomerTables",
    "DayEngine",
    "EdgeSource",
    "Gate",
    "Lake",
    "LakeRecords",
    "Made",
    "PlannedAttempt",
    "SubjectRows",
    "Suppressions",
    "WarehouseDay",
    "WarehouseSubjects",
]

REQUEST_LIVES_MS = 900_000
"""A swap that was sent before ``ends_by`` may be carried out after it, if the network or the store held it back; and an
attempt may fail without learning what became of its swap. No request lives for a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class Suppressions:
    """Who asked to be forgotten, as it stood after the plan was stored (rule B1): values per kind."""

    users: frozenset[str] = frozenset()
    anonymous: frozenset[str] = frozenset()
    customers: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.users or self.anonymous or self.customers)


@dataclass(frozen=True, slots=True)
class Made:
    """What an engine wrote for a plan: the files of each table, and counts for people and the gate."""

    tables: Mapping[LakeTable, tuple[LakeFile, ...]]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a generation changed in the warehouse. ``superseded``: a later generation of the day was there."""

    superseded: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedAttempt:
    """An attempt of a run as its folder shows it: its plans, the latest ``ends_by`` among them, whether a result says that
    it reached its end, and when it failed if one says that."""

    run: str
    attempt: int
    plans: tuple[Plan, ...]
    succeeded: bool
    failed_ms: int | None = None

    @property
    def ends_by_ms(self) -> int:
        """Past it the attempt swaps nothing."""
        return max((plan.ends_by_ms for plan in self.plans), default=0)

    @property
    def days(self) -> frozenset[str]:
        """The days that it planned."""
        return frozenset(plan.day.event_date for plan in self.plans)

    @property
    def may_swap_until_ms(self) -> int:
        """The last moment at which a swap of it may happen, where it did not reach its end. One that failed sends nothing
        after its result; what it sent before may still be on its way."""
        sends_until_ms = self.ends_by_ms if self.failed_ms is None else min(self.ends_by_ms, self.failed_ms)
        return sends_until_ms + REQUEST_LIVES_MS

    def may_swap(self, now_ms: int) -> bool:
        """Whether a swap of it may still happen: only one that reached its end has had an answer to each."""
        return not self.succeeded and not is_past(self.may_swap_until_ms, now_ms)


class Lake(Protocol):
    """Chains, pointers, plans and generations. Raises StoreUnavailable, BadData, ConfigurationError."""

    async def inputs(self) -> Inputs:
        """Every chain and every day's state, as they are now."""

    async def store_plan(self, plan: Plan, edges: EdgeSnapshot) -> None:
        """Keep a plan, and its edges beside it. Neither key was there before."""

    async def store_generation(self, generation: Generation) -> None:
        """Keep the result of a plan."""

    async def swap(self, generation: Generation, seen: SeenPointer | None) -> int | None:
        """Make the generation the day's current one; its sequence, one above ``seen``. None: the pointer is another now."""


class LakeRecords(Protocol):
    """What runs left behind. Raises StoreUnavailable, BadData."""

    async def days(self) -> Sequence[str]:
        """The days that have a pointer, oldest first."""

    async def state(self, day: str) -> DayState:
        """One day's state, as it is now."""

    async def history(self, day: str) -> Sequence[Generation]:
        """The day's generations that are still kept, the current one first, each followed by the one before it."""

    async def attempts(self, run: str | None = None) -> Sequence[PlannedAttempt]:
        """Every attempt that has stored a plan; of one run, or of all that are kept."""


class EdgeSource(Protocol):
    """Where identity edges come from."""

    async def read(self) -> EdgeSnapshot:
        """All edges up to the log's end."""


class DayEngine(Protocol):
    """Computes a day. It writes under the plan's own prefixes and nowhere else."""

    async def make(
        self,
        plan: Plan,
        generations: Mapping[str, Generation],
        edges: EdgeSnapshot,
        suppressed: Suppressions,
    ) -> Made:
        """The plan's day, with all its aggregates. ``generations`` are those that the plan's pointers name, by day.
        Raises BadData where a file is torn or foreign."""


class SubjectRows(Protocol):
    """Looks for subjects in the lake."""

    async def holds(self, generation: Generation, subjects: Suppressions) -> bool:
        """Whether the generation has a row of any of these subjects."""


class Gate(Protocol):
    """Looks at what was made before anybody else may."""

    async def check(self, plan: Plan, made: Made) -> Collection[str]:
        """Keys of the reports; raises BadData where the day must not be swapped in."""


class WarehouseDay(Protocol):
    """The warehouse by difference (rule B3)."""

    async def suppressed(self) -> Suppressions:
        """The suppression list as it is now."""

    async def sequence(self, event_date: str) -> int:
        """The sequence of the generation that was applied last; 0 where none was."""

    async def apply(self, generation: Generation, sequence: int) -> Applied:
        """Bring the day to the generation, writing only what differs. Repeating it changes nothing."""


class CustomerTables(Protocol):
    """The tables customers and customer_aliases (rule B5)."""

    async def publish_customers(self, edges: EdgeSource) -> Mapping[str, int]:
        """Write who is who as of now; what changed. RetryLater where another process does it just now."""


class WarehouseSubjects(Protocol):
    """What an erasure does in the warehouse (rules E1 and E2). Both calls may be repeated."""

    async def suppress(self, subjects: Suppressions) -> None:
        """Add to the suppression list, in a transaction of its own."""

    async def delete(self, subjects: Suppressions) -> Mapping[str, int]:
        """Delete the subjects' rows of every table, in one transaction whose first step is the writer's lock: what a load
        decided before the subjects were suppressed is committed by then, and goes too. Rows deleted by table."""
