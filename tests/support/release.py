"""Events of an installed release: sent through its ingest, counted by its api."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
from tests.support.cluster import RELEASE, Cluster

__all__ = ["Release", "events", "gained", "open_release"]

_SETTLED_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Release:
    """A release and a write key of it."""

    cluster: Cluster
    key: str

    def send(self, batch: list[dict[str, Any]]) -> None:
        """Send events and have them acknowledged."""
        with self.cluster.forward(f"{RELEASE}-ingest") as url:
            answer = httpx.post(f"{url}/v1/events", json=batch, auth=(self.key, ""), timeout=30.0)
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


def open_release(cluster: Cluster) -> Release:
    """The release of the tests, with the write key that its chart made."""
    secret = json.loads(cluster.kubectl("get", "secret", f"{RELEASE}-dev", "--output=json"))
    return Release(cluster, base64.b64decode(secret["data"]["writeKey"]).decode())


def events(prefix: str, count: int) -> list[dict[str, Any]]:
    """Events with ids of their own, without a time: they are of now."""
    return [{"name": "Ordered", "id": f"{prefix}-{n}", "properties": {"n": n}} for n in range(count)]


def gained(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What came to the totals."""
    return {name: after[name] - before[name] for name in ("received", "accepted", "duplicate", "loaded")}
