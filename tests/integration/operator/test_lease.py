"""Leadership over the fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.support.fake_kubernetes import FakeKubernetes, Fault
from tests.support.operator_world import NAMESPACE, connect

from headrace_core.clock import SystemClock
from headrace_operator.lease import Leadership, LeaseTimes, judge
from headrace_runtime.ports_kubernetes import KubernetesApi

_QUICK = LeaseTimes(duration_s=1, renew_within_s=0.4, retry_s=0.05)


class _World:
    def __init__(self, fake: FakeKubernetes, api: KubernetesApi) -> None:
        self.fake = fake
        self.api = api
        self.lost: dict[str, str] = {}

    def candidate(self, me: str) -> Leadership:
        return Leadership(self.api, SystemClock(), namespace=NAMESPACE, name="lead", me=me, times=_QUICK)

    def keep(self, me: str, candidate: Leadership) -> asyncio.Task[None]:
        return asyncio.create_task(candidate.keep(lambda why: self.lost.update({me: why})))

    @property
    def holder(self) -> str:
        [lease] = self.fake.objects("leases")
        return str(lease["spec"]["holderIdentity"])


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[_World]:
    fake = FakeKubernetes()
    async with fake.serve(), connect(fake, tmp_path, "operator") as (_, api):
        yield _World(fake, api)


async def test_the_second_waits_until_the_first_lets_go(world: _World) -> None:
    first, second = world.candidate("first"), world.candidate("second")
    await first.acquire()
    keeping = world.keep("first", first)
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(1.5)
    assert not waiting.done(), "a Lease that is renewed is respected beyond its duration"
    keeping.cancel()
    await first.release()
    await asyncio.wait_for(waiting, 1.0)
    assert world.holder == "second"
    assert not world.lost


async def test_who_dies_is_followed_after_the_duration(world: _World) -> None:
    await world.candidate("first").acquire()
    second = world.candidate("second")
    await asyncio.wait_for(second.acquire(), 5.0)
    assert world.holder == "second"
    [lease] = world.fake.objects("leases")
    assert lease["spec"]["leaseTransitions"] == 1


async def test_who_cannot_renew_in_time_is_told_so(world: _World) -> None:
    first = world.candidate("first")
    await first.acquire()
    world.fake.faults.add(Fault(code=500, times=1_000))
    await asyncio.wait_for(world.keep("first", first), 5.0)
    assert "could not be renewed" in world.lost["first"]


async def test_a_short_silence_of_the_server_loses_nothing(world: _World) -> None:
    first = world.candidate("first")
    await first.acquire()
    world.fake.faults.add(Fault(code=503, times=2))
    keeping = world.keep("first", first)
    await asyncio.sleep(0.8)
    keeping.cancel()
    assert not world.lost
    assert world.holder == "first"


async def test_who_is_overtaken_is_told_so(world: _World) -> None:
    first = world.candidate("first")
    await first.acquire()
    resource = next(each for each in world.fake.store.histories if each.plural == "leases")
    world.fake.store.patch(resource, NAMESPACE, "lead", {"spec": {"holderIdentity": "other"}})
    await asyncio.wait_for(world.keep("first", first), 5.0)
    assert "other holds the Lease" in world.lost["first"]


def test_another_holder_is_judged_by_what_was_seen_here() -> None:
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 15}
    assert judge(spec, "me", 15.0) == "wait"
    assert judge(spec, "me", 15.1) == "take"
    assert judge({**spec, "holderIdentity": ""}, "me", 0.0) == "take"
    assert judge({**spec, "holderIdentity": "me"}, "me", 99.0) == "renew"
