"""Plays one seed and shows every step: `python -m tests.chaos.replay --seed N [--profile P] [--without GUARD ...]`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from tests.chaos.guards import Guard
from tests.chaos.profiles import PROFILES
from tests.chaos.world import World

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Print the run; 1 if it violated an invariant."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.replay", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--profile", choices=sorted(PROFILES), default="default", help="how the adversary is biased"
    )
    parser.add_argument(
        "--without", type=Guard, action="append", default=[], choices=list(Guard), help="guards to take away"
    )
    parser.add_argument("--quiet", action="store_true", help="only the result")
    options = parser.parse_args(arguments)
    settings = replace(PROFILES[options.profile], seed=options.seed, without=frozenset(options.without))
    world = World(settings)
    world.trace = None if options.quiet else []
    world.run()
    for line in world.trace or []:
        print(line)
    print(f"{world.steps} steps; " + ", ".join(f"{what}: {n}" for what, n in sorted(world.events.items())))
    for code, message in world.violations.found.items():
        print(f"VIOLATED {code}: {message}")
    return 1 if world.violations.found else 0


if __name__ == "__main__":
    sys.exit(main())
