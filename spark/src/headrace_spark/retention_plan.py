"""What the retention job may delete, decided from what there is. Pure; the job deletes this, a dry run lists it.

Nothing goes that a pointer names, that a manifest at the end of a chain may still come to name, or that a run which has not
ended may still swap in. Staged files go only when a generation of every day that they have rows of contains them; the days
where none does come back as missing, and the job has them made first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from headrace_core.lake import Generation, StagedFile, staged_files
from headrace_core.manifest import ChainBase, Manifest, next_end
from headrace_core.paths import (
    ChainKind,
    base_key,
    exports_prefix,
    generation_key,
    manifest_key,
    parse_lake_key,
    parse_object_key,
    parse_run_key,
    parse_verdicts_by_id_key,
    verdict_index_key,
)
from headrace_core.pipeline_run import RetentionParameters
from headrace_spark.planning import DayState, may_hold
from headrace_spark.quality.report import METRICS_NAME
from headrace_spark.run_time import is_past

__all__ = [
    "ALARM_DAYS_BEFORE",
    "WHYS",
    "Attempt",
    "Doomed",
    "Holdings",
    "Object",
    "RetentionPlan",
    "Why",
    "overdue_days",
    "plan_retention",
]

Why = Literal["expired", "orphan", "generation_replaced", "run_left_behind", "behind_base"]
"""Older than its retention; named by no manifest; a generation that no pointer names any more; files of a run that ended
without a generation; a manifest that its chain's base stands for."""

WHYS: tuple[Why, ...] = get_args(Why)
ALARM_DAYS_BEFORE = 5
"""Staged files that are this close to their end and still missing from a generation are an alarm."""

_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_NO_STATE = DayState()


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a listing."""

    key: str
    bytes: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt of a run as its folder shows it: its generations, the results that its plans read, and whether it can
    still swap one in."""

    run: str
    attempt: int
    generations: tuple[Generation, ...]
    has_result: bool
    ends_by_ms: int
    reads: frozenset[str] = frozenset()

    def has_ended(self, now_ms: int) -> bool:
        """Unfinished means: no result, and ``ends_by`` is not past (rule B1)."""
        return self.has_result or is_past(self.ends_by_ms, now_ms)


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything that the decision looks at. ``objects`` are those of the data prefixes (staged, raw, verdicts, lake), of
    runs, of extracts and of verdicts by dedup id; ``behind_bases`` are manifests below the base of their chain, left by a
    run that died; ``verdicts_by_id`` gives, per day that has an index, the files that it names."""

    now_ms: int
    chains: Mapping[ChainKind, Mapping[int, Sequence[Manifest]]]
    states: Mapping[str, DayState]
    attempts: Sequence[Attempt]
    objects: Sequence[Object]
    behind_bases: Sequence[Object] = ()
    verdicts_by_id: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doomed:
    """An object to delete."""

    key: str
    bytes: int
    why: Why


@dataclass(slots=True)
class RetentionPlan:
    """``missing_days`` have to be made before the next run can delete their staged files; ``bases`` are written before the
    manifests behind them go."""

    delete: list[Doomed] = field(default_factory=list)
    missing_days: list[str] = field(default_factory=list)
    bases: dict[str, ChainBase] = field(default_factory=dict)


def plan_retention(holdings: Holdings, limits: RetentionParameters) -> RetentionPlan:
    """What may go now."""
    plan = RetentionPlan()
    judge = _Judge(holdings, limits)
    for found in holdings.objects:
        if why := judge.why(found):
            plan.delete.append(Doomed(found.key, found.bytes, why))
    plan.missing_days = overdue_days(holdings, limits.staged_days)
    plan.delete += [Doomed(found.key, found.bytes, "behind_base") for found in holdings.behind_bases]
    _add_bases(plan, holdings, limits)
    return plan


def overdue_days(holdings: Holdings, age_days: int) -> list[str]:
    """The days whose generation lacks staged files that are older than this, oldest first."""
    old = (
        manifest
        for chain in holdings.chains.get("events", {}).values()
        for manifest in chain
        if _is_older(manifest.created_ms, age_days, holdings.now_ms)
    )
    return sorted({day for manifest in old for _, day in _uncontained(manifest, holdings.states)})


class _Judge:
    """Says of each object why it goes; None where it stays. What is no object of ours stays."""

    def __init__(self, holdings: Holdings, limits: RetentionParameters) -> None:
        self._now_ms = holdings.now_ms
        self._states = holdings.states
        self._verdicts_by_id = holdings.verdicts_by_id
        self._limits = limits
        self._kept = _kept_lake_keys(holdings, limits)
        self._attempts = {f"{attempt.run}.{attempt.attempt}": attempt for attempt in holdings.attempts}
        self._chains = {
            (kind, partition, manifest.start): manifest
            for kind, partitions in holdings.chains.items()
            for partition, chain in partitions.items()
            for manifest in chain
        }

    def why(self, found: Object) -> Why | None:
        """Each prefix has its own rule."""
        if parse_lake_key(found.key) is not None:
            return self._why_of_lake(found)
        if found.key.startswith(exports_prefix()) or _is_copy_in_run(found.key):
            old = _is_older(found.modified_ms, self._limits.staged_days, self._now_ms)
            return "expired" if old else None
        if (date := parse_verdicts_by_id_key(found.key)) is not None:
            return self._why_of_verdicts(found, date)
        return self._why_of_chain(found)

    def _why_of_verdicts(self, found: Object, date: str) -> Why | None:
        """The day counts, not when it was sorted: verdicts are kept no longer for that. What no index names yet may be
        named soon."""
        start_ms = round(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000)
        if _is_older(start_ms, self._limits.staged_days, self._now_ms):
            return "expired"
        named = self._verdicts_by_id.get(date)
        if named is None or found.key in named or found.key == verdict_index_key(date):
            return None
        return "orphan" if self._now_ms - found.modified_ms > self._limits.orphan_hours * _HOUR_MS else None

    def _why_of_chain(self, found: Object) -> Why | None:
        position = parse_object_key(found.key)
        place = None if position is None else (position.kind, position.partition, position.start)
        manifest = None if place is None else self._chains.get(place)
        if manifest is None:
            return None
        if all(file.key != found.key for file in manifest.files):
            old = self._now_ms - found.modified_ms > self._limits.orphan_hours * _HOUR_MS
            return "orphan" if old else None
        expired = _is_older(manifest.created_ms, self._limits.staged_days, self._now_ms)
        return "expired" if expired and _is_contained(manifest, found.key, self._states) else None

    def _why_of_lake(self, found: Object) -> Why | None:
        """A run's files stay while it may still swap; a run that left nothing else behind is waited for as long as for
        data."""
        place = parse_lake_key(found.key)
        if place is None or found.key in self._kept:
            return None
        attempt = self._attempts.get(place.generation.rpartition(".")[0])
        if attempt is None:
            old = _is_older(found.modified_ms, self._limits.staged_days, self._now_ms)
            return "run_left_behind" if old else None
        if not attempt.has_ended(self._now_ms):
            return None
        made = any(generation.id.generation == place.generation for generation in attempt.generations)
        return "generation_replaced" if made else "run_left_behind"


def _is_copy_in_run(key: str) -> bool:
    """Whether an object of a run holds what people are known by: identity edges, and rows that a report shows. A day's
    metrics are numbers alone, and later days are compared with them."""
    place = parse_run_key(key)
    if place is None or place.name == f"reports/{METRICS_NAME}":
        return False
    return place.name.startswith("reports/") or place.name == "edges.jsonl.zst"


def _is_older(made_ms: int, days: int, now_ms: int) -> bool:
    return now_ms - made_ms > days * _DAY_MS


def _is_contained(manifest: Manifest, key: str, states: Mapping[str, DayState]) -> bool:
    """Whether the generations of all days that a staged file may have rows of contain it. Other chains have no days."""
    return not any(file.key == key for file, _ in _uncontained(manifest, states))


def _uncontained(manifest: Manifest, states: Mapping[str, DayState]) -> Iterable[tuple[StagedFile, str]]:
    """The files of a manifest that are missing in a generation, and of which day."""
    if manifest.kind != "events":
        return
    for day, rows in manifest.rows_by_event_date.items():
        contains = states.get(day, _NO_STATE).contains if rows > 0 else frozenset()
        for file in staged_files(manifest) if rows > 0 else ():
            if may_hold(file, day) and file.key not in contains:
                yield file, day


def _kept_lake_keys(holdings: Holdings, limits: RetentionParameters) -> frozenset[str]:
    """Lake objects that stay: of current generations, of those replaced a short while ago (an undo takes them back), of
    those that runs at work read or have made."""
    stored = {
        generation_key(of.id.run, of.id.attempt, of.id.plan): of
        for attempt in holdings.attempts
        for of in attempt.generations
    }
    at_work = [attempt for attempt in holdings.attempts if not attempt.has_ended(holdings.now_ms)]
    in_use = {key for attempt in at_work for key in attempt.reads}
    until_ms = _used_until_ms(stored)
    young = {key for key in stored if not _is_older(until_ms[key], limits.generation_days, holdings.now_ms)}
    kept = [state.generation for state in holdings.states.values() if state.generation is not None]
    kept += [generation for attempt in at_work for generation in attempt.generations]
    return frozenset(_keys([*kept, *(stored[key] for key in (in_use | young) & stored.keys())]))


def _used_until_ms(stored: Mapping[str, Generation]) -> dict[str, int]:
    """When each generation was made or, if later, when the last one that took its place was."""
    until_ms = {key: generation.made_ms for key, generation in stored.items()}
    for generation in stored.values():
        if generation.previous is not None:
            until_ms[generation.previous] = max(until_ms.get(generation.previous, 0), generation.made_ms)
    return until_ms


def _keys(generations: Iterable[Generation]) -> Iterable[str]:
    for generation in generations:
        for files in generation.tables.values():
            yield from (file.key for file in files)


def _add_bases(plan: RetentionPlan, holdings: Holdings, limits: RetentionParameters) -> None:
    there = {found.key for found in holdings.objects} - {doomed.key for doomed in plan.delete}
    for kind in get_args(ChainKind):
        for partition, chain in holdings.chains.get(kind, {}).items():
            young_from_ms = holdings.now_ms - limits.manifest_days * _DAY_MS
            _add_base(plan, kind, partition, _droppable(chain, there, young_from_ms))


def _droppable(chain: Sequence[Manifest], there: Collection[str], young_from_ms: int) -> Sequence[Manifest]:
    """The longest head of a chain that is old enough and whose data objects are gone; never its last manifest."""
    head: list[Manifest] = []
    for manifest in chain[:-1]:
        if manifest.created_ms >= young_from_ms or any(file.key in there for file in manifest.files):
            break
        head.append(manifest)
    return head


def _add_base(plan: RetentionPlan, kind: ChainKind, partition: int, head: Sequence[Manifest]) -> None:
    if not head:
        return
    end = next_end(head[-1])
    plan.bases[base_key(kind, partition)] = ChainBase(start=end.end, max_source_offset=end.max_source_offset)
    plan.delete += [Doomed(manifest_key(kind, partition, one.start), 0, "behind_base") for one in head]
