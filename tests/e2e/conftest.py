"""One installation in a real cluster for all end-to-end tests: images built here, the chart's dev values."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.support.cluster import RELEASE, ROOT, Cluster, open_cluster

_NAMESPACE = "headrace-e2e"
_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster with a fresh release. HEADRACE_E2E_KEEP=1 leaves it there for a look."""
    found = open_cluster(_NAMESPACE)
    found.provide_images()
    found.run("kubectl", "delete", "namespace", _NAMESPACE, "--ignore-not-found", "--timeout=5m")
    found.run("kubectl", "create", "namespace", _NAMESPACE)
    found.run("kubectl", "label", "namespace", _NAMESPACE, _RESTRICTED)
    found.helm(
        "install",
        RELEASE,
        ROOT / "helm" / "headrace",
        "--values",
        ROOT / "helm" / "headrace" / "ci" / "dev-values.yaml",
        "--set",
        "operator.enabled=false",
        "--wait",
        "--timeout=10m",
    )
    yield found
    if not os.environ.get("HEADRACE_E2E_KEEP"):
        found.run("kubectl", "delete", "namespace", _NAMESPACE, "--wait=false")
