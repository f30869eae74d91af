"""Dedup workers on a real broker: restart, kill, two owners, an outage, the window."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.dedup_world import DedupWorld, RawEvent, native_event

from headrace_local.stack import LocalStack


@pytest.fixture
async def world(fresh_stack: LocalStack, tmp_path: Path) -> AsyncIterator[DedupWorld]:
    made = DedupWorld(fresh_stack, tmp_path)
    await made.prepare()
    yield made
    made.kill_all()


def _traffic(seed: int, count: int) -> list[RawEvent]:
    """Events with 15 % resends, some conflicts and some without a name."""
    dice = random.Random(seed)
    events: list[RawEvent] = []
    for number in range(count):
        chance = dice.random()
        if events and chance < 0.15:
            events.append(dice.choice(events))
        elif events and chance < 0.17:
            events.append(native_event(f"{seed}-{dice.randrange(number)}", amount=2))
        else:
            events.append(native_event(f"{seed}-{number}", name=None if chance > 0.98 else "Ordered"))
    return events


async def test_every_record_gets_one_verdict_and_a_restart_remembers(world: DedupWorld) -> None:
    events = _traffic(1, 3_000)
    worker = world.worker("dedup-a")
    await worker.start()
    await world.send(events)
    await world.until_decided()
    await worker.stop()
    assert worker.returncode == 0
    blocks = await world.blocks()
    assert all(found[-1].is_empty for found in blocks.values()), "a clean stop certifies the position"
    await world.send(events[:500])
    await worker.start()
    await world.until_decided()
    counts = await world.check(events)
    assert counts.total() == 3_500
    assert counts["DUPLICATE"] > 400
