"""One installation in a real cluster for all end-to-end tests: images built here, both charts, the dev values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.cluster import RELEASE, ROOT, Cluster, open_cluster
from tests.support.pipeline_runs import PipelineRuns
from tests.support.release import Release, open_release

from headrace_core.write_keys import hash_key

NAMESPACE = "headrace-e2e"
RUN_TOKEN = "e2e-token"

_CHARTS = ROOT / "helm"
_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
_VALUES = (_CHARTS / "headrace" / "ci" / "dev-values.yaml", Path(__file__).parent / "values.yaml")


def _secret(name: str, file: str, document: object) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "stringData": {file: yaml.safe_dump(document)},
        }
    )


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster with fresh releases of both charts. HEADRACE_E2E_KEEP=1 leaves them there for a look."""
    found = open_cluster(NAMESPACE)
    found.provide_images()
    found.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=5m")
    found.run("kubectl", "create", "namespace", NAMESPACE)
    found.run("kubectl", "label", "namespace", NAMESPACE, _RESTRICTED)
    callers = {"version": 1, "callers": [{"name": "e2e", "hash": hash_key(RUN_TOKEN)}]}
    found.kubectl("create", "--filename=-", stdin=_secret("e2e-run-tokens", "run_tokens.yaml", callers))
    found.helm("upgrade", "--install", "headrace-crds", _CHARTS / "headrace-crds", "--wait")
    values = [part for path in _VALUES for part in ("--values", path)]
    found.helm("install", RELEASE, _CHARTS / "headrace", *values, "--wait", "--timeout=10m")
    yield found
    if not os.environ.get("HEADRACE_E2E_KEEP"):
        found.run("kubectl", "delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="session")
def runs(cluster: Cluster) -> PipelineRuns:
    """The runs of the installation."""
    return PipelineRuns(cluster)


@pytest.fixture(scope="session")
def release(cluster: Cluster) -> Release:
    """The installation as senders see it."""
    return open_release(cluster)
