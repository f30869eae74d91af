"""A whole running Headrace for the tests of a module."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.stack import new_folder

from headrace_local.installation import Installation, InstallationSettings

__all__ = ["SOURCES", "running", "settled_counts"]

SOURCES = ("web", "shop", "online-retail", "sparkify")
_MAPPINGS = Path(__file__).parents[2] / "mappings"
_SETTLED_WITHIN_S = 240.0


@pytest.fixture(scope="module")
def running() -> Iterator[Installation]:
    """Everything up, with the example mappings deployed; shared by the tests of a module. It belongs to no event loop."""
    root = new_folder()
    shutil.copytree(_MAPPINGS, root / "mappings")
    installation = Installation(root, InstallationSettings(partitions=4, cadence_s=1.0, sources=SOURCES))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, installation.__aenter__()).result()
    try:
        yield installation
    finally:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, installation.__aexit__()).result()
        shutil.rmtree(root)


async def settled_counts(installation: Installation) -> dict[str, Any]:
    """The counts once nothing is on its way: all that was acknowledged before this call is in them."""
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    async with httpx.AsyncClient(base_url=installation.api_url, timeout=10.0) as client:
        while True:
            counts: dict[str, Any] = (await client.get("/v1/counts")).json()
            if counts["settled"]:
                return counts
            assert time.monotonic() < deadline, (counts["in_flight"], counts["totals"])
            await asyncio.sleep(0.3)
