"""What the retention job may delete, decided from what there is. Pure; the job deletes exactly this, a dry run lists it.

Nothing goes that a pointer names, that a manifest at the end of a chain may still come to name, or that a run which has not
ended may still swap in. Staged files go only when a generation of every day that they have rows of contains them; the days
where none does come back as missing, and the job has them made first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from headrace_core.lake import Generation, StagedFile, staged_files
from headrace_core.manifest import ChainBase, Manifest, next_end
from headrace_core.paths import ChainKind, base_key, manifest_key, parse_lake_key, parse_object_key
from headrace_core.pipeline_run import RetentionParameters
from headrace_spark.planning import DayState, may_hold

__all__ = ["Attempt", "Doomed", "Holdings", "Object", "RetentionPlan", "Why", "plan_retention"]

Why = Literal["expired", "orphan", "generation_replaced", "run_left_behind", "behind_base"]
"""Older than its retention; named by no manifest; a generation that no pointer names any more; files of a run that ended
without a generation; a manifest that its chain's base stands for."""

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
    """An attempt of a run as its folder shows it: its generations, and whether it can still swap one in."""

    run: str
    attempt: int
    generations: tuple[Generation, ...]
    has_result: bool
    ends_by_ms: int

    def has_ended(self, now_ms: int) -> bool:
        """Unfinished means: no result, and ``ends_by`` is not past (rule B1)."""
        return self.has_result or now_ms > self.ends_by_ms


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything that the decision looks at. Objects are those of the data prefixes: staged, raw, verdicts and lake."""

    now_ms: int
    chains: Mapping[ChainKind, Mapping[int, Sequence[Manifest]]]
    states: Mapping[str, DayState]
    attempts: Sequence[Attempt]
    objects: Sequence[Object]


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
    kept = _kept_lake_keys(holdings, limits)
    chains = {
        (kind, partition, manifest.start): manifest
        for kind, partitions in holdings.chains.items()
        for partition, chain in partitions.items()
        for manifest in chain
    }
    for found in holdings.objects:
        if why := _why(found, holdings, limits, chains, kept):
            plan.delete.append(Doomed(found.key, found.bytes, why))
    plan.missing_days = _missing_days(holdings, limits)
    _add_bases(plan, holdings, limits)
    return plan


def _why(
    found: Object,
    holdings: Holdings,
    limits: RetentionParameters,
    chains: Mapping[tuple[ChainKind, int, int], Manifest],
    kept: frozenset[str],
) -> Why | None:
    """Why an object goes; None where it stays. What is no object of ours stays."""
    if parse_lake_key(found.key) is not None:
        return _why_of_lake(found, holdings, limits, kept)
    position = parse_object_key(found.key)
    manifest = None if position is None else chains.get((position.kind, position.partition, position.start))
    if position is None or manifest is None:
        return None
    if all(file.key != found.key for file in manifest.files):
        old = holdings.now_ms - found.modified_ms > limits.orphan_hours * _HOUR_MS
        return "orphan" if old else None
    expired = _is_expired(manifest, holdings, limits)
    return "expired" if expired and _is_contained(manifest, found.key, holdings.states) else None


def _is_expired(manifest: Manifest, holdings: Holdings, limits: RetentionParameters) -> bool:
    return holdings.now_ms - manifest.created_ms > limits.staged_days * _DAY_MS


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


def _missing_days(holdings: Holdings, limits: RetentionParameters) -> list[str]:
    expired = (
        manifest
        for chain in holdings.chains.get("events", {}).values()
        for manifest in chain
        if _is_expired(manifest, holdings, limits)
    )
    return sorted({day for manifest in expired for _, day in _uncontained(manifest, holdings.states)})


def _kept_lake_keys(holdings: Holdings, limits: RetentionParameters) -> frozenset[str]:
    """Lake objects that stay: of current generations, of young ones (an undo takes them back), of runs at work."""
    current = [state.generation for state in holdings.states.values() if state.generation is not None]
    oldest_ms = holdings.now_ms - limits.generation_days * _DAY_MS
    others = [
        generation
        for attempt in holdings.attempts
        for generation in attempt.generations
        if generation.made_ms > oldest_ms or not attempt.has_ended(holdings.now_ms)
    ]
    return frozenset(_keys([*current, *others]))


def _keys(generations: Iterable[Generation]) -> Iterable[str]:
    for generation in generations:
        for files in generation.tables.values():
            yield from (file.key for file in files)


def _why_of_lake(
    found: Object, holdings: Holdings, limits: RetentionParameters, kept: frozenset[str]
) -> Why | None:
    """A run's files stay while it may still swap; a run that left nothing else behind is waited for as long as for data."""
    place = parse_lake_key(found.key)
    if place is None or found.key in kept:
        return None
    for attempt in holdings.attempts:
        if place.generation.startswith(f"{attempt.run}.{attempt.attempt}."):
            made = any(generation.id.generation == place.generation for generation in attempt.generations)
            ended = attempt.has_ended(holdings.now_ms)
            return ("generation_replaced" if made else "run_left_behind") if ended else None
    old = holdings.now_ms - found.modified_ms > limits.staged_days * _DAY_MS
    return "run_left_behind" if old else None


def _add_bases(plan: RetentionPlan, holdings: Holdings, limits: RetentionParameters) -> None:
    for kind in get_args(ChainKind):
        for partition, chain in holdings.chains.get(kind, {}).items():
            _add_base(plan, kind, partition, _droppable(plan, chain, holdings, limits))


def _droppable(
    plan: RetentionPlan, chain: Sequence[Manifest], holdings: Holdings, limits: RetentionParameters
) -> Sequence[Manifest]:
    """The longest head of a chain that is old enough and whose data objects are gone; never its last manifest."""
    there = {found.key for found in holdings.objects} - {doomed.key for doomed in plan.delete}
    head: list[Manifest] = []
    for manifest in chain[:-1]:
        young = holdings.now_ms - manifest.created_ms <= limits.manifest_days * _DAY_MS
        if young or any(file.key in there for file in manifest.files):
            break
        head.append(manifest)
    return head


def _add_base(plan: RetentionPlan, kind: ChainKind, partition: int, head: Sequence[Manifest]) -> None:
    if not head:
        return
    end = next_end(head[-1])
    plan.bases[base_key(kind, partition)] = ChainBase(start=end.end, max_source_offset=end.max_source_offset)
    plan.delete += [Doomed(manifest_key(kind, partition, one.start), 0, "behind_base") for one in head]
