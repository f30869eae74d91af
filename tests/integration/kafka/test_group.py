"""Group membership on real brokers: sharing, hand-over, confirmation of ownership, hints."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from tests.support.log import DEADLINE_S, LogWorld, eventually, log_world

from headrace_local.stack import LocalStack
from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.kafka import KafkaConnection, KafkaGroup
from headrace_runtime.ports_log import TopicPartition

SESSION_S = 6.0


@pytest.fixture
async def world(stack: LocalStack) -> AsyncIterator[LogWorld]:
    async with log_world(KafkaConnection(stack.endpoints.kafka_bootstrap)) as made:
        yield made


class Members:
    """Members of one group over one topic of four partitions."""

    def __init__(self, world: LogWorld, topic: str) -> None:
        self._world, self.topic, self._group = world, topic, uuid.uuid4().hex
        self.all = frozenset(TopicPartition(topic, p) for p in range(4))

    async def join(self, instance_id: str | None = None) -> KafkaGroup:
        """A member that has its first assignment; leaves at the end of the test."""
        assert self._world.connection is not None
        member = KafkaGroup(
            self._world.connection,
            group=self._group,
            topics=[self.topic],
            session_timeout_s=SESSION_S,
            instance_id=instance_id,
        )
        await member.start(deadline_s=DEADLINE_S)
        self._world.cleanup.push_async_callback(member.stop)
        return member


@pytest.fixture
async def members(world: LogWorld) -> Members:
    return Members(world, await world.topic(4))


async def _owns(member: KafkaGroup, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(member.owned) != count:
            await member.changed(member.generation, max_wait_s=1.0)


async def test_members_share_partitions_and_take_over_those_of_one_that_leaves(members: Members) -> None:
    first = await members.join()
    assert first.owned == members.all
    generation, before = first.generation, first.owned
    second = await members.join()
    await _owns(first, 2)
    await _owns(second, 2)
    assert first.generation > generation
    assert first.owned | second.owned == members.all
    assert first.owned <= before, "assignment is sticky"
    await second.stop()
    assert second.owned == frozenset()
    await _owns(first, 4)
    assert await first.confirm_ownership(deadline_s=DEADLINE_S)


async def test_ownership_is_confirmed_only_for_the_current_generation(members: Members) -> None:
    first = await members.join()
    assert await first.confirm_ownership(deadline_s=DEADLINE_S)
    # A member whose heartbeats stopped (a long pause) does not hear that the group is being regrouped.
    assert first._coordinator is not None
    first._coordinator._heartbeat_task.cancel()
    joining = asyncio.ensure_future(members.join())

    async def doubtful() -> bool:
        return not await first.confirm_ownership(deadline_s=1.0)

    await eventually(doubtful)
    assert first.owned == members.all, "it still believes"
    second = await joining
    assert second.owned == members.all
    assert not await first.confirm_ownership(deadline_s=DEADLINE_S)


async def test_nothing_is_confirmed_without_membership(world: LogWorld, members: Members) -> None:
    assert world.connection is not None
    stranger = KafkaGroup(world.connection, group="strangers", topics=[members.topic])
    assert not await stranger.confirm_ownership(deadline_s=0.5)
    member = await members.join()
    await member.stop()
    assert not await member.confirm_ownership(deadline_s=0.5)
    assert member.generation == -1


async def test_positions_are_stored_as_hints(members: Members) -> None:
    first = await members.join()
    tp, other = TopicPartition(members.topic, 0), TopicPartition(members.topic, 1)
    assert await first.committed([tp, other], deadline_s=DEADLINE_S) == {}
    assert await first.commit({tp: 41}, deadline_s=DEADLINE_S)
    assert await first.commit({tp: 42}, deadline_s=DEADLINE_S)
    await first.stop()
    second = await members.join()
    assert await second.committed([tp, other], deadline_s=DEADLINE_S) == {tp: 42}
    assert not await first.commit({tp: 1}, deadline_s=0.5), "one that left stores nothing"


async def test_a_static_member_keeps_its_partitions_over_a_restart(members: Members) -> None:
    first, second = await members.join("a"), await members.join("b")
    await _owns(first, 2)
    mine, generation = first.owned, second.generation
    await first.stop()
    assert (await members.join("a")).owned == mine
    assert second.generation == generation, "nobody else noticed"


async def test_a_group_over_a_missing_topic_does_not_start(world: LogWorld) -> None:
    assert world.connection is not None
    group = KafkaGroup(world.connection, group=uuid.uuid4().hex, topics=["no-such-topic"])
    with pytest.raises(LogUnavailable, match="no-such-topic"):
        await group.start(deadline_s=1.0)


async def test_ownership_is_not_confirmed_by_silence(fresh_stack: LocalStack) -> None:
    async with log_world(KafkaConnection(fresh_stack.endpoints.kafka_bootstrap)) as world:
        member = await Members(world, await world.topic(4)).join()
        assert await member.confirm_ownership(deadline_s=DEADLINE_S)
        fresh_stack.servers["kafka-1"].pause()
        assert not await member.confirm_ownership(deadline_s=0.5)
        fresh_stack.servers["kafka-1"].resume()
        await eventually(lambda: member.confirm_ownership(deadline_s=5.0))
