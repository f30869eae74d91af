"""The whole operator, kopf and all, in real time over the fake cluster, with the rights of the chart and no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.kubelet import Exit, Kubelet, Run, Schedule, SpawnExecutors, Step
from tests.support.fake_kubernetes.objects import ApiFailure, Json
from tests.support.operator_drill import chart_role, condition_of
from tests.support.operator_installation import installed_planner
from tests.support.operator_world import NAMESPACE, create_run, running_operator, until

from headrace_operator.names import ATTEMPT_LABEL, RUN_LABEL

_RUNS, _PODS = resource_named("pipelineruns"), resource_named("pods")


def _script(pod: Json) -> Sequence[Step]:
    """Runs called `retried` are killed once, those called `endless` run for ever, the others end well."""
    labels = pod["metadata"]["labels"]
    if labels["spark-role"] == "executor" or labels[RUN_LABEL].startswith("endless"):
        return (Schedule(), Run())
    killed = labels[RUN_LABEL].startswith("retried") and labels[ATTEMPT_LABEL] == "1"
    return (Schedule(), Run(), SpawnExecutors(1), Exit(137 if killed else 0))


@asynccontextmanager
async def _cluster() -> AsyncIterator[FakeKubernetes]:
    fake = FakeKubernetes()
    kubelet = Kubelet(fake, _script, lambda: time.time_ns() // 1_000_000)

    async def live() -> None:
        while True:
            kubelet.tick()
            await asyncio.sleep(0.05)

    async with fake.serve():
        living = asyncio.create_task(live())
        try:
            yield fake
        finally:
            living.cancel()


def _state(fake: FakeKubernetes, name: str) -> tuple[str, str]:
    try:
        return condition_of(fake.store.get(_RUNS, NAMESPACE, name))
    except ApiFailure:
        return "gone", ""


def _pods_of(fake: FakeKubernetes, run: str) -> list[Json]:
    return [pod for pod in fake.objects("pods") if pod["metadata"]["labels"][RUN_LABEL] == run]


def _is(fake: FakeKubernetes, name: str, reason: str) -> Callable[[], bool]:
    return lambda: _state(fake, name)[1] == reason


async def test_the_rights_of_the_chart_are_enough_and_each_is_needed(tmp_path: Path) -> None:
    async with _cluster() as fake:
        fake.access.roles["operator"] = chart_role()
        async with running_operator(fake, tmp_path, installed_planner()):
            create_run(fake, "retried", retry={"initialSeconds": 1}, concurrencyKey="1")
            create_run(fake, "expired", ttlSecondsAfterFinished=0, concurrencyKey="2")
            create_run(fake, "endless", concurrencyKey="3")
            foreign = {"metadata": {"name": "hindered-1-conf"}}
            fake.store.create(resource_named("configmaps"), NAMESPACE, foreign)
            create_run(fake, "hindered", retry={"limit": 0}, concurrencyKey="4")
            taken = {
                "metadata": {"name": "taken-1-driver", "labels": {"spark-role": "executor", RUN_LABEL: ""}}
            }
            fake.store.create(_PODS, NAMESPACE, {**taken, "spec": {"containers": [{"name": "c"}]}})
            create_run(fake, "taken", retry={"limit": 0}, concurrencyKey="5")
            create_run(fake, "endless-doomed", concurrencyKey="6")
            await until(lambda: len(fake.objects("pods")) > 2)
            create_run(fake, "replaces", concurrencyKey="3", concurrencyPolicy="Replace")
            await until(_is(fake, "retried", "DriverSucceeded"), 40.0)
            await until(_is(fake, "endless", "Cancelled"), 40.0)
            await until(_is(fake, "replaces", "DriverSucceeded"), 40.0)
            await until(lambda: _state(fake, "expired")[0] == "gone", 40.0)
            await until(lambda: _state(fake, "hindered")[0] == "False", 40.0)
            await until(lambda: _state(fake, "taken")[0] == "False", 40.0)
            fake.store.delete(_RUNS, NAMESPACE, "endless-doomed")
            await until(lambda: not _pods_of(fake, "endless-doomed"), 40.0)
        assert fake.access.refused == []
        assert fake.access.used["operator"] | _OF_NEWS_THAT_REPEATS_ITSELF == chart_role().rules


_OF_NEWS_THAT_REPEATS_ITSELF = frozenset({("", "events", "patch")})
"""An Event is counted up: test_carrying_out does that."""


async def test_dropped_watches_and_a_stale_cache_make_no_second_driver(tmp_path: Path) -> None:
    async with _cluster() as fake, running_operator(fake, tmp_path, installed_planner()):
        create_run(fake, "endless")
        await until(lambda: len(fake.objects("pods")) == 1)
        fake.hold_watches("operator")
        create_run(fake, "other", concurrencyKey="other")
        fake.drop_watches()
        fake.compact()
        await asyncio.sleep(0.5)
        fake.release_watches("operator")
        await until(_is(fake, "other", "DriverSucceeded"), 40.0)
        fake.store.patch(_RUNS, NAMESPACE, "endless", {"spec": {"cancel": True}})
        await until(_is(fake, "endless", "Cancelled"), 40.0)
        created = [call for call in fake.calls if (call.verb, call.resource) == ("create", "pods")]
        assert sum(call.token == "operator" and not call.dry_run for call in created) == 2


async def test_a_driver_runs_on_without_the_operator_and_is_found_again(tmp_path: Path) -> None:
    async with _cluster() as fake:
        async with running_operator(fake, tmp_path, installed_planner(), token="first"):
            create_run(fake, "endless")
            await until(lambda: len(fake.objects("pods")) == 1)
            [before] = fake.objects("pods")
        async with running_operator(fake, tmp_path, installed_planner(), token="second"):
            fake.store.patch(_RUNS, NAMESPACE, "endless", {"spec": {"cancel": True}})
            await until(_is(fake, "endless", "Cancelled"), 40.0)
            assert [pod["metadata"]["uid"] for pod in fake.objects("pods")] in (
                [],
                [before["metadata"]["uid"]],
            )


async def test_a_run_makes_few_calls(tmp_path: Path) -> None:
    async with _cluster() as fake, running_operator(fake, tmp_path, installed_planner()):
        create_run(fake, "good")
        await until(_is(fake, "good", "DriverSucceeded"), 40.0)
        await asyncio.sleep(0.5)
        writes = [
            f"{call.verb} {call.resource}"
            for call in fake.calls
            if call.resource != "leases" and call.verb not in ("list", "watch", "get")
        ]
        assert len(writes) <= 16, writes
