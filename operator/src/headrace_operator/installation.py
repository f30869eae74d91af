"""The planner of this installation: the file that describes runs, read once at the start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from headrace_core.errors import ConfigurationError
from headrace_operator.actions import Facts, Plan
from headrace_operator.observed import ObservedPod, ObservedRun
from headrace_operator.planning import plan
from headrace_operator.reconciler import Planner
from headrace_operator.sizes import Installation, decode_installation

__all__ = ["planner_of", "read_installation"]


def read_installation(path: Path) -> Installation:
    """The installation's file. ConfigurationError where it is not there, no YAML, or not what it must be."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"The file that describes runs cannot be read: {path}.",
            why=str(error),
            fix="Set HEADRACE_RUNS_FILE to the file that the chart mounts.",
            code="runs_file",
        ) from error
    return decode_installation(document)


def planner_of(installation: Installation) -> Planner:
    """`plan` for the runs of this installation."""

    def planner(
        run: ObservedRun, pods: Sequence[ObservedPod], holders: Sequence[str], now_ms: int, facts: Facts
    ) -> Plan:
        return plan(run, pods, holders, now_ms, installation=installation, facts=facts)

    return planner
