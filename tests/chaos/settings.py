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
    upstream: bool = True
    """Whether dedup and stage are attacked; else they do their work as if nothing ever happened."""
    owners_per_partition: int = 3
    loaders: int = 2
    loader_crash: float = 0.03
    """Share of a loader's steps at which it dies."""
    ids: int = 8
    """Event ids, shared by two sources."""
    users: int = 0
    """Users who share the ids; each id its own where 0."""
    days_back: int = 0
    """Event dates lie up to this many days back; mostly today where 0."""
    burst: int = 1
    """Events that are produced at once."""
    produce: float = 0.06
    time: float = 0.06
    long_pause: float = 0.05
    """Share of the passages of time that take more than a day."""
    load: float = 0.14
    notice: float = 0.02
    """Steps at which the warehouse ends a transaction whose client is gone."""
    damage: float = 0.007
    """Staged files that come back torn, or that the warehouse refuses."""
    torn: float = 0.5
    """Share of the damaged that are torn."""
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
    days: float = 0.0
    """Steps of batch jobs' drivers; without any, runs have no lake days, no erasures and no reprocesses."""
    drivers: int = 4
    driver_crash: float = 0.005
    """Share of a driver's steps at which it dies."""
    unanswered: float = 0.1
    """Share of the jobs' conditional writes without an answer; half of them are late, or never happen."""
    erasures: int = 0
    """Subjects that may be erased in a run."""
    reprocess: float = 0.0
    """Share of runs that reprocess days, or take such a run back."""
    unique: bool = False
    """Whether each identity is accepted once only: what a reprocess moves by days has no copies that it does not move."""
