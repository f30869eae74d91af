"""An installation for tests of the operator: two sizes, an image that nobody has."""

from __future__ import annotations

from typing import Any

from headrace_operator.installation import planner_of
from headrace_operator.reconciler import Planner
from headrace_operator.sizes import decode_installation

__all__ = ["INSTALLATION", "installed_planner"]

_SIZE: dict[str, Any] = {"driverMemoryMib": 1024, "executors": 2, "executorMemoryMib": 1024}

INSTALLATION: dict[str, Any] = {
    "image": "localhost/headrace-spark:test",
    "driver": {"serviceAccount": "headrace-driver"},
    "executor": {"serviceAccount": "headrace-executor"},
    "settings": {"configMaps": ["headrace-settings"], "secrets": ["headrace-secrets"]},
    "sizes": {"small": _SIZE, "large": {**_SIZE, "executors": 8, "most": {"executors": 16}}},
}
"""The file that the chart writes, decoded."""


def installed_planner() -> Planner:
    """The real planner, for this installation."""
    return planner_of(decode_installation(INSTALLATION))
