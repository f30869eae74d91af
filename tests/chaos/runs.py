"""Runs of many seeds, and what is said of one that failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.chaos.guards import Guard
from tests.chaos.settings import Settings
from tests.chaos.world import World

__all__ = ["failures", "first_violation", "play", "replay_hint"]


def play(settings: Settings) -> World:
    """One run to its end."""
    return World(settings).run()


def replay_hint(settings: Settings, world: World) -> str:
    """What was violated, and the command that shows how."""
    without = "".join(f" --without {guard}" for guard in sorted(settings.without))
    found = "; ".join(f"{code}: {message}" for code, message in world.violations.found.items())
    profile = f" --profile {settings.profile}" if settings.profile else ""
    return f"{found}\n    replay: python -m tests.chaos.replay --seed {settings.seed}{profile}{without}"


def failures(settings: Iterable[Settings]) -> list[str]:
    """The runs that violated something, each with its replay command."""
    found = []
    for each in settings:
        world = play(each)
        if world.violations.found:
            found.append(replay_hint(each, world))
    return found


def first_violation(base: Settings, guard: Guard, seeds: range) -> int | None:
    """The first seed whose run without the guard shows one of the violations that `base` looks for."""
    for seed in seeds:
        if play(replace(base, seed=seed, without=frozenset((guard,)))).is_over:
            return seed
    return None
