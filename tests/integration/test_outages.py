"""A dependency is down for a while: nothing acknowledged is lost, readiness says what is missing, all catch up by themselves."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import httpx
import pytest
from tests.support.installations import running, settled_counts

from headrace_cli.journal import Journal
from headrace_cli.sender import HttpSender, batches
from headrace_cli.traffic import Channel, Fate, generate
from headrace_local.installation import Installation

__all__ = ["running"]

pytestmark = [
    pytest.mark.xdist_group("outages"),
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

_OUTAGE_S = float(os.environ.get("HEADRACE_OUTAGE_S", "12"))
"""A campaign sets a minute and more."""

_DEPENDENTS = {
    "kafka-1": ("kafka", ("ingest", "dedup", "stage", "archive")),
    "s3": ("store", ("stage", "archive", "load")),
    "postgres": ("warehouse", ("load", "api")),
}
"""Server: a word in what readiness says, and the services that must say it."""

_UNTIL_MS = 1_790_000_000_000


async def _unready(installation: Installation, service: str, word: str) -> bool:
    """Whether a service says that it is not ready and names what is down."""
    url = f"http://127.0.0.1:{installation.ports[service]}/readyz"
    async with httpx.AsyncClient(timeout=5.0) as client:
        try:
            answer = await client.get(url)
        except httpx.TransportError:
            return False
    down = [part for part in answer.json()["components"] if not part["ok"]]
    return answer.status_code == 503 and any(
        word in f"{part['name']} {part['reason']}".lower() for part in down
    )


async def _say_so(installation: Installation, server: str) -> None:
    """Every service that needs the server says so before the outage is over."""
    word, services = _DEPENDENTS[server]
    waiting = set(services)
    async with asyncio.timeout(_OUTAGE_S + 20):
        while waiting:
            waiting -= {service for service in waiting if await _unready(installation, service, word)}
            await asyncio.sleep(0.3)


async def _all_ready(installation: Installation) -> None:
    async with asyncio.timeout(90), httpx.AsyncClient(timeout=5.0) as client:
        for service, port in installation.ports.items():
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    assert installation.services[service].alive
                await asyncio.sleep(0.3)


@pytest.mark.parametrize("server", list(_DEPENDENTS))
async def test_an_outage_loses_nothing(
    running: Installation, server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = await settled_counts(running)
    journal = Journal(tmp_path_factory.mktemp("journal") / "journal.jsonl")
    seed = random.Random(server).randrange(1 << 30)
    traffic = batches(generate(seed=seed, events=100_000, until_ms=_UNTIL_MS, sdk_share=0.0), size=50)
    over = asyncio.Event()

    async def send() -> None:
        async with HttpSender.open(running.ingest_url, running.write_key("web"), journal) as sender:
            for channel, events in traffic:
                assert channel is not Channel.SDK
                await sender.send(channel, events)
                await asyncio.sleep(0.05)
                if over.is_set():
                    return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        await asyncio.sleep(2)
        down = running.stack.servers[server]
        await asyncio.to_thread(down.kill)
        await _say_so(running, server)
        await asyncio.sleep(_OUTAGE_S)
        await down.start()
        await asyncio.sleep(2)
        over.set()
    journal.close()
    await _all_ready(running)
    after = await settled_counts(running)
    _assert_equal(journal.acknowledged, before["totals"], after["totals"])
    assert after["reconciles"], after["checks"]
    assert all(service.alive for service in running.services.values()), "no service had to be started again"


def _assert_equal(acknowledged: Counter[Fate], before: dict[str, int], after: dict[str, int]) -> None:
    gained = {name: after[name] - before[name] for name in after}
    assert gained["accepted"] == gained["loaded"] == acknowledged[Fate.ACCEPTED] > 0
    assert gained["received"] + gained["refused"] >= acknowledged.total()
