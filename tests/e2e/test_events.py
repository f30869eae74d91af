"""Events through an installation in a cluster: in by HTTP, out as rows, whatever happens to its pods."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.support.cluster import RELEASE, ROOT, Cluster

_SETTLED_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class _Release:
    cluster: Cluster
    key: str

    def send(self, events: list[dict[str, Any]]) -> None:
        """Send events until they are acknowledged."""
        with self.cluster.forward(f"{RELEASE}-ingest") as url:
            answer = httpx.post(f"{url}/v1/events", json=events, auth=(self.key, ""), timeout=30.0)
        assert answer.status_code == 200, answer.text

    def settled(self) -> dict[str, int]:
        """The totals, once nothing is on its way."""
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        with self.cluster.forward(f"{RELEASE}-api") as url:
            while True:
                counts = httpx.get(f"{url}/v1/counts", timeout=30.0).json()
                if counts["settled"] and counts["reconciles"]:
                    totals: dict[str, int] = counts["totals"]
                    return totals
                assert time.monotonic() < deadline, counts
                time.sleep(1.0)


@pytest.fixture
def release(cluster: Cluster) -> _Release:
    secret = json.loads(cluster.kubectl("get", "secret", f"{RELEASE}-dev", "--output=json"))
    return _Release(cluster, base64.b64decode(secret["data"]["writeKey"]).decode())


def _events(prefix: str, count: int) -> list[dict[str, Any]]:
    return [{"name": "Ordered", "id": f"{prefix}-{n}", "properties": {"n": n}} for n in range(count)]


def _gained(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in ("received", "accepted", "duplicate", "loaded")}


def test_helm_test_follows_an_event_to_its_row(cluster: Cluster) -> None:
    assert '"loaded_s"' in cluster.helm("test", RELEASE, "--logs", "--timeout=6m")


def test_what_was_sent_twice_is_a_row_once(release: _Release) -> None:
    before = release.settled()
    events = _events("twice", 200)
    release.send(events)
    release.send(events)
    gained = _gained(before, release.settled())
    assert gained == {"received": 400, "accepted": 200, "duplicate": 200, "loaded": 200}


def test_pods_that_are_killed_lose_nothing(release: _Release) -> None:
    before = release.settled()
    for component in ("dedup", "stage", "load"):
        release.send(_events(f"killed-{component}", 100))
        release.cluster.kubectl(
            "delete",
            "pod",
            "--selector",
            f"app.kubernetes.io/component={component}",
            "--grace-period=0",
            "--force",
        )
    gained = _gained(before, release.settled())
    assert (gained["accepted"], gained["loaded"]) == (300, 300)


def test_an_upgrade_keeps_data_and_credentials(release: _Release) -> None:
    before = release.settled()
    release.cluster.helm(
        "upgrade",
        RELEASE,
        ROOT / "helm" / "headrace",
        "--reuse-values",
        "--set",
        "logLevel=DEBUG",
        "--wait",
        "--timeout=10m",
    )
    secret = json.loads(release.cluster.kubectl("get", "secret", f"{RELEASE}-dev", "--output=json"))
    assert base64.b64decode(secret["data"]["writeKey"]).decode() == release.key
    release.send(_events("upgraded", 100))
    gained = _gained(before, release.settled())
    assert (gained["accepted"], gained["loaded"]) == (100, 100)
    release.cluster.helm("rollback", RELEASE, "1", "--wait", "--timeout=10m")
    release.send(_events("rolled-back", 100))
    assert _gained(before, release.settled())["loaded"] == 200


def test_no_pod_breaks_the_restricted_profile(cluster: Cluster) -> None:
    """The namespace enforces it, so a pod that breaks it is not there; its owner says so by an event."""
    refused = [
        event for event in cluster.objects("events") if "violates PodSecurity" in event.get("message", "")
    ]
    assert refused == []
