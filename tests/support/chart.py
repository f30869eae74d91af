"""The charts as Helm renders them, and the pure looks that tests take at the objects."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

__all__ = [
    "CHARTS",
    "VALUE_SETS",
    "Rendered",
    "containers",
    "find_helm",
    "helm",
    "pod_templates",
    "refusal",
    "render",
]

Rendered = dict[str, Any]
"""An object of Kubernetes."""

CHARTS = Path(__file__).parents[2] / "helm"
VALUE_SETS = tuple(
    sorted(path.stem.removesuffix("-values") for path in (CHARTS / "headrace" / "ci").glob("*.yaml"))
)
"""The sets of values in helm/headrace/ci."""

_WITHIN_S = 60.0
_WORKLOADS = {"Deployment", "StatefulSet", "Job"}


def find_helm() -> str | None:
    """The helm program: HELM, else the one on PATH."""
    return os.environ.get("HELM") or shutil.which("helm")


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm; the test is skipped where there is none."""
    program = find_helm()
    if program is None:
        pytest.skip("helm is neither named by HELM nor on PATH")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)


@functools.lru_cache(maxsize=64)
def _template(chart: str, sets: tuple[str, ...], values: str | None) -> str:
    files = () if values is None else ("--values", CHARTS / chart / "ci" / f"{values}-values.yaml")
    pairs = (part for pair in sets for part in ("--set-json", pair))
    done = helm("template", "headrace", CHARTS / chart, "--namespace", "data", *files, *pairs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(values: str | None, *sets: str, chart: str = "headrace") -> list[Rendered]:
    """The objects of a release `headrace` in the namespace `data`; each of ``sets`` is KEY=JSON."""
    return [found for found in yaml.safe_load_all(_template(chart, sets, values)) if found]


def refusal(values: str | None, sets: Sequence[str]) -> str:
    """What helm says as it refuses these values."""
    files = () if values is None else ("--values", CHARTS / "headrace" / "ci" / f"{values}-values.yaml")
    pairs = (part for pair in sets for part in ("--set-json", pair))
    done = helm("template", "headrace", CHARTS / "headrace", *files, *pairs)
    assert done.returncode != 0, "helm took the values"
    return done.stderr


def pod_templates(objects: Sequence[Rendered]) -> Iterator[tuple[str, Rendered]]:
    """Name and pod (metadata, spec) of everything that makes pods."""
    for found in objects:
        name = f"{found['kind']}/{found['metadata']['name']}"
        if found["kind"] == "Pod":
            yield name, found
        elif found["kind"] in _WORKLOADS:
            yield name, found["spec"]["template"]


def containers(pod: Rendered) -> list[Rendered]:
    """All containers of a pod, those that run first included."""
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
