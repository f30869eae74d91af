"""What the service makes of the state of Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from headrace_core.clock import ManualClock
from headrace_core.errors import ConfigurationError
from headrace_core.topics import EVENTS_QUARANTINE, EVENTS_RAW
from headrace_ingest import log_watch
from headrace_ingest.log_watch import LogWatch, check_topics
from headrace_runtime.errors_log import LogUnavailable
from headrace_runtime.memory_log import MemoryLog, MemoryLogAdmin
from headrace_runtime.ports_log import TopicSpec
from headrace_runtime.process import Lifecycle
from headrace_runtime.settings import ProcessSettings
from headrace_runtime.telemetry import Telemetry


@pytest.fixture
async def life() -> AsyncIterator[Lifecycle]:
    telemetry = Telemetry("test", "test")
    yield Lifecycle("test", ProcessSettings.model_validate({"instance": "t"}), ManualClock(), telemetry)
    telemetry.shutdown()


async def test_topics_must_be_those_of_the_installation() -> None:
    log = MemoryLog()
    admin = MemoryLogAdmin(log)
    with pytest.raises(ConfigurationError, match="does not exist"):
        await check_topics(admin, 4, deadline_s=1)
    log.create(TopicSpec(EVENTS_RAW.name, 4))
    log.create(TopicSpec(EVENTS_QUARANTINE.name, 3))
    with pytest.raises(ConfigurationError, match="3 partitions instead of 4"):
        await check_topics(admin, 4, deadline_s=1)
    log.delete(EVENTS_QUARANTINE.name)
    log.create(TopicSpec(EVENTS_QUARANTINE.name, 4))
    await check_topics(admin, 4, deadline_s=1)


async def test_an_outage_is_hopeless_only_after_its_grace(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_watch, "_PROBE_EVERY_S", 0.01)
    admin = MemoryLogAdmin(MemoryLog())
    state = SimpleNamespace(down=False)

    async def cluster_id(*, deadline_s: float = 30.0) -> str:
        if state.down:
            raise LogUnavailable("no answer", why="down")
        return "id"

    monkeypatch.setattr(admin, "cluster_id", cluster_id)
    clock = life.clock
    assert isinstance(clock, ManualClock)
    watch = LogWatch(life, admin, grace_s=5.0)
    follower = asyncio.create_task(watch.follow())
    await until_ready(life, ready=True)
    state.down = True
    await until_ready(life, ready=False)
    seen = [watch.hopeless]
    clock.advance(4)
    seen.append(watch.hopeless)
    clock.advance(2)
    seen.append(watch.hopeless)
    state.down = False
    await until_ready(life, ready=True)
    assert [*seen, watch.hopeless] == [False, False, True, False]
    life.stopping.set()
    await follower


async def until_ready(life: Lifecycle, *, ready: bool) -> None:
    async with asyncio.timeout(10):
        while life.health.ready != ready:  # noqa: ASYNC110  (health tells only when asked)
            await asyncio.sleep(0.01)
