"""The API server says no, is silent, forgets, or the world changes under the operator: runs converge and tell the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.support.fake_kubernetes import Fault
from tests.support.fake_kubernetes.cluster import resource_named
from tests.support.fake_kubernetes.kubelet import Exit, Run, Schedule, Step, Wait
from tests.support.fake_kubernetes.objects import Json
from tests.support.operator_drill import Drill, chart_role, condition_of
from tests.support.operator_installation import installed_planner
from tests.support.operator_world import NAMESPACE

_RUNS, _PODS = resource_named("pipelineruns"), resource_named("pods")


def _good(_pod: Json) -> Sequence[Step]:
    return (Schedule(), Run(), Exit(0))


def _over(drill: Drill) -> bool:
    return condition_of(drill.run())[0] in ("True", "False")


@pytest.mark.parametrize("code", [409, 429, 500, 503])
async def test_every_call_fails_once(code: int, tmp_path: Path) -> None:
    plain = Drill(tmp_path, installed_planner(), _good)
    plain.create()
    await plain.until(_over)
    for number in range(1, plain.calls + 1):
        drill = Drill(tmp_path, installed_planner(), _good)
        drill.create()
        drill.fake.faults.add(Fault(code=code, at=number, retry_after_s=2))
        await drill.until(_over)
        drill.check()
        assert condition_of(drill.run()) == ("True", "DriverSucceeded")
        assert drill.fake.faults.struck


@pytest.mark.parametrize("kind", ["lose_answer", "cut"])
async def test_every_answer_is_lost_once(kind: str, tmp_path: Path) -> None:
    plain = Drill(tmp_path, installed_planner(), _good)
    plain.create()
    await plain.until(_over)
    for number in range(1, plain.calls + 1):
        drill = Drill(tmp_path, installed_planner(), _good)
        drill.create()
        drill.fake.faults.add(Fault("lose_answer" if kind == "lose_answer" else "cut", at=number))
        await drill.until(_over)
        drill.check()
        assert condition_of(drill.run()) == ("True", "DriverSucceeded")


def _at(turn: int, change: Callable[[Drill], object]) -> Callable[[Drill, int], None]:
    def every_turn(drill: Drill, now: int) -> None:
        if now == turn:
            change(drill)

    return every_turn


async def test_a_right_that_is_taken_away_stalls_the_run_until_it_is_back(tmp_path: Path) -> None:
    missing = chart_role().without(("", "pods", "create"))
    stalled: list[tuple[str, str]] = []

    def every_turn(drill: Drill, turn: int) -> None:
        if turn == 1:
            drill.fake.access.roles["operator-1"] = missing
        if turn == 10:
            stalled.append(condition_of(drill.run(), "Stalled"))
            drill.fake.access.roles["operator-1"] = chart_role()

    drill = Drill(tmp_path, installed_planner(), _good, every_turn=every_turn)
    drill.create()
    await drill.until(_over)
    drill.check()
    assert stalled[0][0] == "True"
    assert condition_of(drill.run()) == ("True", "DriverSucceeded")
    assert condition_of(drill.run(), "Stalled")[0] == "False"
    tries = [rule for _, rule in drill.fake.access.refused]
    assert set(tries) == {("", "pods", "create")}
    assert len(tries) <= 3, "a missing right is not asked for all the time"


async def test_a_full_quota_is_waited_for(tmp_path: Path) -> None:
    drill = Drill(
        tmp_path,
        installed_planner(),
        _good,
        every_turn=_at(10, lambda drill: setattr(drill.fake.store, "pod_quota", None)),
    )
    drill.fake.store.pod_quota = 0
    drill.create(schedulingDeadlineSeconds=600)
    await drill.until(_over)
    drill.check()
    assert condition_of(drill.run()) == ("True", "DriverSucceeded")


async def test_a_quota_that_stays_full_ends_at_the_scheduling_deadline(tmp_path: Path) -> None:
    drill = Drill(tmp_path, installed_planner(), _good)
    drill.fake.store.pod_quota = 0
    drill.create(schedulingDeadlineSeconds=30, retry={"limit": 0})
    await drill.until(_over)
    assert condition_of(drill.run())[0] == "False"
    assert drill.fake.objects("pods") == []


async def test_a_pod_of_somebody_else_is_left_alone_and_named(tmp_path: Path) -> None:
    drill = Drill(tmp_path, installed_planner(), _good)
    drill.create(retry={"limit": 0})
    foreign = {"metadata": {"name": "r-1-driver", "labels": {}}, "spec": {"containers": [{"name": "c"}]}}
    drill.fake.store.create(_PODS, NAMESPACE, foreign)
    await drill.until(_over)
    assert condition_of(drill.run())[0] == "False"
    assert "r-1-driver" in str(drill.run()["status"])
    [pod] = drill.fake.objects("pods")
    assert not pod["metadata"].get("ownerReferences")


async def test_what_admission_refuses_of_executors_ends_the_run_before_a_driver(tmp_path: Path) -> None:
    drill = Drill(tmp_path, installed_planner(), _good)
    drill.fake.store.refuse_pod = lambda pod: (
        "violates PodSecurity restricted" if pod["metadata"]["labels"]["spark-role"] == "executor" else None
    )
    drill.create()
    await drill.until(_over)
    assert condition_of(drill.run()) == ("False", "InvalidConfiguration")
    assert "violates PodSecurity" in str(drill.run()["status"])
    assert drill.fake.objects("pods") == []


async def test_a_namespace_that_ends_is_not_held_up(tmp_path: Path) -> None:
    drill = Drill(
        tmp_path,
        installed_planner(),
        lambda _pod: (Schedule(), Run()),
        every_turn=_at(6, lambda drill: drill.fake.store.end_namespace(NAMESPACE)),
    )
    drill.create()
    await drill.until(
        lambda drill: (
            drill.turns > 6 and not drill.fake.objects("pipelineruns") and not drill.fake.objects("pods")
        )
    )
    assert drill.fake.objects("configmaps") == []


async def test_an_image_that_is_missing_stalls_and_ends_as_configuration_or_by_its_deadline(
    tmp_path: Path,
) -> None:
    seen: list[tuple[str, str]] = []

    def every_turn(drill: Drill, _turn: int) -> None:
        seen.append(condition_of(drill.run(), "Stalled"))

    drill = Drill(
        tmp_path,
        installed_planner(),
        lambda _pod: (Schedule(), Wait("ImagePullBackOff", "no such image")),
        every_turn=every_turn,
    )
    drill.create(schedulingDeadlineSeconds=60, retry={"limit": 0})
    await drill.until(_over)
    drill.check()
    assert condition_of(drill.run())[0] == "False"
    assert any(status == "True" for status, _ in seen)


async def test_a_driver_that_no_node_takes_ends_by_its_scheduling_deadline(tmp_path: Path) -> None:
    drill = Drill(tmp_path, installed_planner(), lambda _pod: (Schedule("0/3 nodes have memory"),))
    drill.create(schedulingDeadlineSeconds=30, retry={"limit": 0})
    await drill.until(_over)
    drill.check()
    assert condition_of(drill.run())[0] == "False"
    assert "SchedulingDeadlineExceeded" in str(drill.run()["status"])
