"""Edges and customers through real dedup workers: what identify events tie, and what later events get of it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.dedup_world import SOURCE, DedupWorld, RawEvent, identify_event

from headrace_core.events import CleanEvent, decode_clean
from headrace_core.identity import Edge
from headrace_core.keys import dedup_id
from headrace_core.topics import EVENTS_CLEAN
from headrace_local.stack import LocalStack


@pytest.fixture
async def world(fresh_stack: LocalStack, tmp_path: Path) -> AsyncIterator[DedupWorld]:
    made = DedupWorld(fresh_stack, tmp_path)
    await made.prepare()
    yield made
    made.kill_all()


def _visit(identifier: str, anonymous_id: str) -> RawEvent:
    body = {"type": "track", "name": "Visited", "id": identifier, "anonymous_id": anonymous_id}
    return RawEvent(dedup_id(SOURCE, identifier), json.dumps(body).encode())


async def _clean(world: DedupWorld, identifier: str) -> CleanEvent:
    records = (await world.read(EVENTS_CLEAN.name)).values()
    events = [decode_clean(record.value or b"") for found in records for record in found]
    return next(event for event in events if event.event_id == identifier)


async def test_a_device_is_its_customer_once_two_sources_have_spoken(world: DedupWorld) -> None:
    worker = world.worker("dedup-a")
    await worker.start()
    await world.send([_visit("v1", "a1"), identify_event("i1", user_id="u1", anonymous_id="a1")])
    await world.until_decided()
    [edge] = await world.edges()
    assert (edge.user_key, edge.customer_id, edge.source) == ("a:a1", "u1", SOURCE)
    await world.write_edges(
        Edge(
            kind="user", alias="u1", customer_id="c9", op="assert", source="crm", confidence=1.0, valid_from=0
        )
    )
    await worker.stop()
    await worker.start()
    await world.send([_visit("v2", "a1"), _visit("v3", "a2")])
    await world.until_decided()
    before, known, stranger = [await _clean(world, identifier) for identifier in ("v1", "v2", "v3")]
    assert (before.customer_id, before.identity_status) == (None, "anonymous")
    assert (known.customer_id, known.identity_status) == ("c9", "resolved")
    assert (stranger.customer_id, stranger.identity_status) == (None, "anonymous")


async def test_a_running_worker_learns_of_edges(world: DedupWorld) -> None:
    await world.worker("dedup-a").start()
    await world.send([identify_event("i1", user_id="u1", anonymous_id="a1")])
    async with asyncio.timeout(60):
        for number in range(1_000):
            await world.send([_visit(f"v{number}", "a1")])
            await world.until_decided()
            if (await _clean(world, f"v{number}")).customer_id == "u1":
                return


async def test_killed_workers_lose_no_edge(world: DedupWorld) -> None:
    events = [identify_event(f"i{n}", user_id=f"u{n % 50}", anonymous_id=f"a{n}") for n in range(2_000)]
    for number, start in enumerate(range(0, len(events), 500)):
        worker = world.worker(
            f"dedup-{number}", HEADRACE_DEDUP_RANGE_RECORDS="100", HEADRACE_DEDUP_GROUP=f"group-{number}"
        )
        await worker.start()
        await world.send(events[start : start + 500])
        await asyncio.sleep(random.Random(start).uniform(0.0, 0.4))
        worker.kill()
    await world.worker("last", HEADRACE_DEDUP_GROUP="last").start()
    await world.until_decided()
    await world.check(events)
    assert {(edge.alias, edge.customer_id) for edge in await world.edges()} == {
        (f"a{n}", f"u{n % 50}") for n in range(2_000)
    }
