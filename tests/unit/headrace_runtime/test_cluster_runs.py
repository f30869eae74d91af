"""Waiting for a run does not keep the API server busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from headrace_core.pipeline_run import RunSpec
from headrace_core.run_resource import resource_of
from headrace_runtime.cluster_runs import ClusterRuns
from headrace_runtime.ports_kubernetes import KubernetesApi, WatchEvent


class _WatchesEndAtOnce:
    """An API server, or a proxy before it, that closes every watch as soon as it is opened."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, *_: object, **_options: object) -> dict[str, Any]:
        self.asked += 1
        body = resource_of("daily-1", RunSpec(job="retention"))
        body["metadata"]["resourceVersion"] = "1"
        return body

    async def watch(self, *_: object, **_options: object) -> AsyncIterator[WatchEvent]:
        return
        yield


async def test_a_watch_that_ends_at_once_makes_no_busy_loop() -> None:
    api = _WatchesEndAtOnce()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ClusterRuns(cast("KubernetesApi", api), "default").wait("daily-1")
    assert api.asked == 1
