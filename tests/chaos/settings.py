"""What one run is told: its seed, what it takes away, and how hostile the world is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.guards import Guard

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """One run. `profile` names a bias of the adversary (`tests.chaos.profiles`); shares are of all steps."""

    profile: str
    seed: int = 0
    without: frozenset[Guard] = frozenset()
    until: tuple[str, ...] = ()
    """Codes of the violations that end the run; none: any does."""
    steps: tuple[int, ...] = (150, 400, 700)
    """Numbers of steps before healing; the seed draws one."""
    window_ms: int = 86_400_000
    owners_per_partition: int = 3
    loaders: int = 2
    loader_crash: float = 0.03
    """Share of a loader's steps at which it dies."""
    ids: int = 8
    """Event ids, shared by two sources."""
    produce: float = 0.06
    time: float = 0.06
    long_pause: float = 0.05
    """Share of the passages of time that take more than a day."""
    load: float = 0.14
    damage: float = 0.007
    """Staged files that come back torn, or that the warehouse refuses."""
    collect: float = 0.007
    """Runs of the orphan collection."""
    clock: float = 0.007
    """Steps of the leader's clock."""
    rare: float = 0.03
    """Deploys, repairs, suppressions, holes."""
    suppressions: int = 2
    """Subjects that may be suppressed in a run."""
    archives: float = 0.0
    """Share of runs in which raw records and verdicts are archived too."""
    lose_index: bool = False
    """Whether dedup.index is lost halfway, and built again from events.clean."""
    rules: bool = True
    """Whether events differ in the versions of the rules that take them for good."""
