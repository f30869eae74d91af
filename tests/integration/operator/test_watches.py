"""The operator's eyes: kopf over the fake API server, with gaps in its watches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.fake_kubernetes import FakeKubernetes
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.operator_world import NAMESPACE, RecordingPlanner, create_run, running_operator, until

from headrace_core.clock import ManualClock
from headrace_operator.names import attempt_labels
from headrace_operator.watches import WatchAge

_RUNS = resource_named("pipelineruns")
_PODS = resource_named("pods")


def _driver(fake: FakeKubernetes, run: str, uid: str) -> None:
    labels = {**attempt_labels(run, uid, 1, "daily"), "spark-role": "driver"}
    body = {
        "metadata": {"name": f"{run}-1-driver", "labels": labels},
        "spec": {"containers": [{"name": "c"}]},
    }
    fake.store.create(_PODS, NAMESPACE, body)


async def test_nothing_is_planned_before_everything_was_seen(tmp_path: Path) -> None:
    fake, planner = FakeKubernetes(), RecordingPlanner()
    for number in range(40):
        made = create_run(fake, f"run-{number}")
        _driver(fake, f"run-{number}", made["metadata"]["uid"])
    async with fake.serve(), running_operator(fake, tmp_path, planner):
        await until(lambda: len({name for name, _ in planner.seen}) == 40)
    assert {pods for _, pods in planner.seen} == {1}


async def test_an_empty_namespace_is_ready_and_new_runs_are_seen(tmp_path: Path) -> None:
    fake, planner = FakeKubernetes(), RecordingPlanner()
    async with fake.serve(), running_operator(fake, tmp_path, planner) as running:
        assert planner.seen == []
        create_run(fake, "new")
        await until(lambda: ("new", 0) in planner.seen)
        fake.store.delete(_RUNS, NAMESPACE, "new")
        await until(lambda: running.operator.view.run("new") is None)
        assert running.health.stuck() == {}
    assert [lease["spec"]["holderIdentity"] for lease in fake.objects("leases")] == [""], (
        "released at the stop"
    )


async def test_a_change_is_planned_and_a_time_is_kept(tmp_path: Path) -> None:
    fake, planner = FakeKubernetes(), RecordingPlanner()
    planner.pause_ms = 200
    async with fake.serve(), running_operator(fake, tmp_path, planner):
        create_run(fake, "again")
        await until(lambda: len(planner.seen) > 2)


@pytest.mark.parametrize("forgotten", [False, True], ids=["dropped", "dropped and 410"])
async def test_what_happens_in_a_gap_is_found(tmp_path: Path, forgotten: bool) -> None:
    fake, planner = FakeKubernetes(), RecordingPlanner()
    made = create_run(fake, "stays")
    create_run(fake, "goes")
    _driver(fake, "stays", made["metadata"]["uid"])
    async with fake.serve(), running_operator(fake, tmp_path, planner) as running:
        view = running.operator.view
        fake.hold_watches("operator")
        fake.store.delete(_RUNS, NAMESPACE, "goes")
        fake.store.delete(_PODS, NAMESPACE, "stays-1-driver")
        create_run(fake, "comes")
        assert fake.drop_watches() == 2
        if forgotten:
            fake.compact()
        fake.release_watches("operator")
        await until(lambda: view.run("goes") is None and view.run("comes") is not None)
        await until(lambda: view.pods("stays") == ())
        await until(lambda: ("comes", 0) in planner.seen and ("stays", 0) in planner.seen)
        assert len(fake.watches) == 2


async def test_events_posted_to_no_object_and_no_annotations(tmp_path: Path) -> None:
    fake, planner = FakeKubernetes(), RecordingPlanner()
    async with fake.serve(), running_operator(fake, tmp_path, planner):
        before = create_run(fake, "untouched")
        await until(lambda: ("untouched", 0) in planner.seen)
        await asyncio.sleep(0.2)
    assert fake.objects("pipelineruns") == [before]
    assert fake.objects("events") == []


def test_silence_counts_from_the_start_of_the_watch() -> None:
    clock = ManualClock()
    age = WatchAge(clock, ("pods",))
    clock.advance(500)
    assert age.ages_s() == {}
    age.start()
    clock.advance(151)
    assert age.ages_s() == {"pods": 151.0}
    age.seen("pods")
    assert age.ages_s() == {"pods": 0.0}
