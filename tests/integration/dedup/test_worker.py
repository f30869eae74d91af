"""Dedup workers on a real broker: restart, kill, two owners, an outage, the window."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.dedup_world import DedupWorld, RawEvent, native_event
from tests.support.log import eventually

from headrace_core.block import Verdict
from headrace_core.errors import ExitCode
from headrace_local.errors import ProcessFailedError
from headrace_local.processes import ServiceProcess
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


async def test_killed_workers_lose_nothing_and_repeat_nothing(world: DedupWorld) -> None:
    """Each incarnation has a group of its own, so that it need not wait for the session of the one before."""
    events = _traffic(2, 4_000)

    def incarnation(number: int) -> ServiceProcess:
        return world.worker(
            f"dedup-{number}", HEADRACE_DEDUP_RANGE_RECORDS="150", HEADRACE_DEDUP_GROUP=f"group-{number}"
        )

    for number, start in enumerate(range(0, len(events), 800)):
        worker = incarnation(number)
        await worker.start()
        await world.send(events[start : start + 800])
        await asyncio.sleep(random.Random(start).uniform(0.0, 0.4))
        worker.kill()
    await incarnation(99).start()
    await world.until_decided()
    counts = await world.check(events)
    assert counts.total() == len(events)


async def test_two_owners_of_every_partition_at_once(world: DedupWorld) -> None:
    """Workers of different groups do not know of each other: both own everything, and the index decides."""
    events = _traffic(3, 6_000)
    small = {"HEADRACE_DEDUP_RANGE_RECORDS": "100"}
    workers = [
        world.worker("dedup-a", HEADRACE_DEDUP_GROUP="one", **small),
        world.worker("dedup-b", HEADRACE_DEDUP_GROUP="two", **small),
    ]
    await asyncio.gather(*(worker.start() for worker in workers))
    for start in range(0, len(events), 1_000):
        await world.send(events[start : start + 1_000])
        await asyncio.sleep(0.2)
    await world.until_decided()
    for worker in workers:
        await worker.stop()
    counts = await world.check(events)
    assert counts.total() == len(events)
    writers = {block.header.writer for blocks in (await world.blocks()).values() for block in blocks}
    assert writers == {"dedup-a", "dedup-b"}, "both made progress"


async def test_two_members_share_the_partitions_and_take_over(world: DedupWorld) -> None:
    events = _traffic(4, 3_000)
    first, second = world.worker("dedup-a"), world.worker("dedup-b")
    await first.start()
    await world.send(events[:1_000])
    await second.start()
    await world.send(events[1_000:2_000])
    await world.until_decided()
    await first.stop()
    await world.send(events[2_000:])
    await world.until_decided()
    counts = await world.check(events)
    assert counts.total() == len(events)
    last = {blocks[-1].header.writer for blocks in (await world.blocks()).values()}
    assert last == {"dedup-b"}


async def test_a_broker_that_is_away_is_waited_for(world: DedupWorld) -> None:
    events = _traffic(5, 3_000)
    worker = world.worker("dedup-a", HEADRACE_DEDUP_APPEND_DEADLINE_S="3")
    await worker.start()
    await world.send(events[:1_500])
    broker = world.stack.servers["kafka-1"]
    broker.kill()
    port = worker.env["HEADRACE_HTTP_PORT"]

    async def unready() -> bool:
        return (await world.readiness(port)).get("ready") is False

    await eventually(unready)
    components = (await world.readiness(port))["components"]
    assert isinstance(components, list)
    assert any(not component["ok"] and component["reason"] for component in components)
    assert worker.alive
    await broker.start()
    await world.send(events[1_500:])
    await world.until_decided(within_s=90)
    assert worker.alive
    counts = await world.check(events)
    assert counts.total() == len(events)


async def test_the_window_passes(world: DedupWorld) -> None:
    world.settings["HEADRACE_DEDUP_WINDOW_S"] = "2"
    event = native_event("once")
    worker = world.worker("dedup-a")
    await worker.start()
    await world.send([event, event])
    await world.until_decided()
    await asyncio.sleep(3)
    await world.send([event])
    await world.until_decided()
    await worker.stop()
    verdicts = [v for blocks in (await world.blocks()).values() for block in blocks for v in block.verdicts]
    assert verdicts == [Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ACCEPTED]


async def test_wrong_partition_counts_and_lost_indexes_stop_with_instructions(world: DedupWorld) -> None:
    wrong = world.worker("wrong", HEADRACE_PARTITIONS="3")
    with pytest.raises(ProcessFailedError) as refused:
        await wrong.start()
    assert wrong.returncode == ExitCode.CONFIGURATION
    assert "HEADRACE_PARTITIONS" in str(refused.value)
    events = _traffic(6, 500)
    worker = world.worker("dedup-a")
    await worker.start()
    await world.send(events)
    await world.until_decided()
    await worker.stop()
    await world.lose_index()
    with pytest.raises(ProcessFailedError) as stopped:
        await worker.start()
    assert worker.returncode == ExitCode.CONFIGURATION
    assert "--rebuild-index" in str(stopped.value)
    rebuilding = world.worker("dedup-b", "--rebuild-index")
    await rebuilding.start()
    await world.send(events)
    await world.until_decided()
    await rebuilding.stop()
    verdicts = Counter(
        Verdict(verdict).name
        for blocks in (await world.blocks()).values()
        for block in blocks
        if block.header.rules_version
        for verdict in block.verdicts
    )
    assert verdicts["ACCEPTED"] == 0, "everything is remembered"
