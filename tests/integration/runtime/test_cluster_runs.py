"""PipelineRuns by the client that the API service and `headrace run` use, on the fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from tests.support.fake_kubernetes import FakeKubernetes, Fault

from headrace_core.errors import BadData, UsageError
from headrace_core.pipeline_run import ExportParameters, RunSpec
from headrace_core.run_policy import Run
from headrace_runtime.cluster_runs import ClusterRuns
from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection, KubernetesSettings
from headrace_runtime.ports_kubernetes import PIPELINE_RUNS, PODS

_SPEC = RunSpec(job="daily", date="2026-11-28")
_TABLES: tuple[Literal["sessions", "funnels", "cohorts", "user_day"], ...] = (
    "sessions",
    "funnels",
    "cohorts",
    "user_day",
)


class _World:
    def __init__(self, fake: FakeKubernetes, api: HttpKubernetesApi) -> None:
        self.fake, self.api = fake, api
        self.runs = ClusterRuns(api, "default")

    async def becomes(self, name: str, status: str, reason: str, **more: Any) -> None:
        """Write a status as the operator does."""
        condition = {
            "type": "Succeeded",
            "status": status,
            "reason": reason,
            "lastTransitionTime": "2026-11-29T01:40:00Z",
        }
        await self.api.patch(
            PIPELINE_RUNS,
            "default",
            name,
            {"status": {"conditions": [condition], **more}},
            subresource="status",
        )


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[_World]:
    fake = FakeKubernetes()
    async with fake.serve():
        settings = KubernetesSettings.model_validate({"kubeconfig": fake.kubeconfig(tmp_path, "tester")})
        async with HttpKubernetesApi.open(await KubernetesConnection.open(settings)) as api:
            yield _World(fake, api)


async def test_a_name_is_one_run_however_often_it_is_submitted(world: _World) -> None:
    answers = await asyncio.gather(*(world.runs.submit(_SPEC, "daily-1") for _ in range(8)))
    assert {run.name for run, _ in answers} == {"daily-1"}
    assert sum(made for _, made in answers) == 1
    assert [run.name for run in await world.runs.all()] == ["daily-1"]


async def test_a_name_of_other_work_is_refused(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    with pytest.raises(UsageError) as caught:
        await world.runs.submit(RunSpec(job="daily", date="2026-11-27"), "daily-1")
    assert caught.value.code == "run_conflict"


async def test_without_a_name_the_active_run_of_the_same_work_is_found(world: _World) -> None:
    first, made = await world.runs.submit(_SPEC)
    assert (first.name, made) == ("daily-2026-11-28", True)
    again, made = await world.runs.submit(_SPEC)
    assert (again.name, made) == (first.name, False)
    await world.becomes(first.name, "False", "DriverFailed")
    another, made = await world.runs.submit(_SPEC)
    assert (another.name, made) == ("daily-2026-11-28-2", True)


async def test_names_taken_at_the_same_time_are_all_different(world: _World) -> None:
    specs = [RunSpec(job="export", date="2026-11-28", export=ExportParameters(table=t)) for t in _TABLES]
    answers = await asyncio.gather(*(world.runs.submit(spec) for spec in specs))
    assert len({run.name for run, _ in answers}) == len(_TABLES)


async def test_waiting_ends_with_the_run_and_tells_what_happened_on_the_way(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    told: list[Run] = []
    waiting = asyncio.create_task(world.runs.wait("daily-1", tell=told.append))
    await asyncio.sleep(0.2)
    await world.becomes("daily-1", "Unknown", "Running", attempts=[_attempt()])
    await asyncio.sleep(0.2)
    await world.becomes("daily-1", "True", "DriverSucceeded", attempts=[_attempt(exitCode=0)])
    run = await asyncio.wait_for(waiting, 10)
    assert run.state == "Succeeded"
    assert [each.state for each in told] == ["Pending", "Running", "Succeeded"]


async def test_waiting_outlives_outages(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    world.fake.faults.add(Fault(verb="get", resource="pipelineruns", code=500, times=2))
    waiting = asyncio.create_task(world.runs.wait("daily-1"))
    await asyncio.sleep(0.3)
    world.fake.drop_watches()
    await world.becomes("daily-1", "False", "BadData")
    assert (await asyncio.wait_for(waiting, 20)).state == "Failed"


async def test_a_run_that_is_deleted_while_it_is_waited_for_is_an_error(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    waiting = asyncio.create_task(world.runs.wait("daily-1"))
    await asyncio.sleep(0.2)
    await world.api.delete(PIPELINE_RUNS, "default", "daily-1")
    with pytest.raises(BadData):
        await asyncio.wait_for(waiting, 10)


async def test_cancelling_asks_once_and_a_finished_run_is_left_alone(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    assert (await world.runs.cancel("daily-1")).spec.cancel
    await world.becomes("daily-1", "False", "Cancelled")
    before = world.fake.calls_of("tester")
    assert (await world.runs.cancel("daily-1")).state == "Cancelled"
    assert world.fake.calls_of("tester") == before + 1


async def test_a_rerun_is_a_run_of_its_own_once_per_key(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    await world.becomes("daily-1", "False", "DriverFailed")
    (first, made), (again, made_again) = [await world.runs.rerun("daily-1", "key") for _ in range(2)]
    assert (made, made_again, first.name) == (True, False, again.name)
    assert first.spec.rerun_of == "daily-1"
    other, _ = await world.runs.rerun("daily-1", "another key")
    assert other.name not in ("daily-1", first.name)
    assert (await world.runs.get("daily-1")).state == "Failed"


async def test_a_rerun_of_a_long_name_fits(world: _World) -> None:
    await world.runs.submit(_SPEC, "d" * 47)
    again, _ = await world.runs.rerun("d" * 47, "key")
    assert len(again.name) <= 47


async def test_logs_are_those_of_the_attempts_whose_pods_are_left(world: _World) -> None:
    await world.runs.submit(_SPEC, "daily-1")
    attempts = [_attempt(number=1, driverPod="gone"), _attempt(number=2, driverPod="daily-1-2-driver")]
    await world.becomes("daily-1", "Unknown", "Running", attempts=attempts)
    container = {"name": "spark-kubernetes-driver", "image": "x"}
    pod = {"metadata": {"name": "daily-1-2-driver"}, "spec": {"containers": [container]}}
    await world.api.create(PODS, "default", pod)
    world.fake.logs["default", "daily-1-2-driver"] = b"stage events"
    assert await world.runs.logs("daily-1") == [(2, b"stage events")]
    assert await world.runs.logs("daily-1", 1) == []


def _attempt(**more: Any) -> dict[str, Any]:
    return {"number": 1, "startTime": "2026-11-29T01:31:00Z", **more}
