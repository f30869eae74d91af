"""Histories that nobody thought of: late and lost sightings, deaths between any two actions, whims of users and nodes."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.plan_world import PlanWorld

Move = tuple[str, int]
_MOVES = (
    "reconcile", "reconcile", "reconcile", "die", "see", "relist", "relist", "run", "run", "end", "executor",
    "executor", "run executor", "kill executor", "evict", "delete driver", "force", "cancel", "suspend", "resume",
    "wait", "wait long", "unschedulable",
)  # fmt: skip
_CODES = (0, 0, 1, 11, 65, 69, 69, 69, 75, 78, 137, 143)

moves = st.lists(st.tuples(st.sampled_from(_MOVES), st.integers(0, 11)), max_size=60)
specs = st.fixed_dictionaries(
    {},
    optional={
        "retry": st.just({"limit": 3, "initialSeconds": 1, "maxSeconds": 60}),
        "deadlineSeconds": st.sampled_from([60, 600]),
        "schedulingDeadlineSeconds": st.sampled_from([10, 60]),
        "ttlSecondsAfterFinished": st.sampled_from([0, 60]),
        "size": st.sampled_from(["small", "huge"]),
        "concurrencyPolicy": st.sampled_from(["Queue", "Replace"]),
    },
)


def _move(world: PlanWorld, what: str, number: int) -> None:
    driver = world.driver()
    match what:
        case "reconcile":
            world.reconcile()
        case "die":
            world.reconcile(most_actions=number % 5)
        case "relist":
            world.relist()
        case "see" if world.pods:
            world.see_pod(sorted(world.pods)[number % len(world.pods)])
        case "cancel":
            world.change_spec(cancel=True)
        case "suspend" | "resume":
            world.change_spec(suspend=what == "suspend")
        case "wait" | "wait long":
            world.now_ms += (number + 1) * (1_000 if what == "wait" else 20_000)
        case _ if driver is not None:
            _pod_move(world, driver, what, number)
        case _:  # a move that has nothing to move
            pass


def _pod_move(world: PlanWorld, driver: dict[str, Any], what: str, number: int) -> None:
    name, started = driver["metadata"]["name"], {"startedAt": "2026-11-28T08:00:05Z"}
    executors = world.executors()
    match what:
        case "run":
            world.set_state(driver, "Running", running=started)
        case "end":
            world.set_state(driver, "Failed", terminated={"exitCode": _CODES[number]})
            if driver["metadata"].get("deletionTimestamp"):
                world.delete_pod(name)
        case "unschedulable" if not driver["spec"].get("nodeName"):
            driver["status"]["conditions"] = [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            ]
        case "executor":
            world.spawn_executor()
        case "run executor" if executors:
            world.set_state(executors[number % len(executors)], "Running", running=started)
        case "kill executor" if executors:
            world.delete_pod(executors[number % len(executors)]["metadata"]["name"])
        case "evict":
            driver["status"] = {"phase": "Failed", "reason": "Evicted"}
        case "delete driver":
            world.delete_pod(name)
        case "force":
            world.force_delete(name)
        case _:  # a move that has nothing to move
            pass


@settings(max_examples=300, deadline=None)
@given(specs, moves)
def test_whatever_happens_there_is_one_driver_and_the_history_only_grows(
    spec: dict[str, Any], history: list[Move]
) -> None:
    world = PlanWorld(**spec)
    for what, number in history:
        _move(world, what, number)
        world.check()
    world.settle()
    world.check()


@settings(max_examples=150, deadline=None)
@given(specs, moves)
def test_every_run_comes_to_an_end_and_leaves_nothing_behind(
    spec: dict[str, Any], history: list[Move]
) -> None:
    world = PlanWorld(**spec)
    for what, number in history:
        _move(world, what, number)
    world.change_spec(suspend=False, cancel=True)
    for _ in range(10):
        world.settle()
        driver = world.driver()
        if driver is not None:
            world.set_state(driver, "Failed", terminated={"exitCode": 143})
            if driver["metadata"].get("deletionTimestamp"):
                world.delete_pod(driver["metadata"]["name"])
        world.now_ms += 5_000
    if world.run is not None:
        succeeded = world.run["status"]["conditions"][0]
        assert succeeded["status"] in ("True", "False"), succeeded
    assert not world.executors()
    assert all(not body["metadata"].get("finalizers") for body in world.pods.values())


@given(specs, moves)
def test_the_same_arguments_give_the_same_plan(spec: dict[str, Any], history: list[Move]) -> None:
    world = PlanWorld(**spec)
    for what, number in history[:20]:
        _move(world, what, number)
    assert world.plan() == world.plan()


def test_an_orderly_run_takes_few_writes() -> None:
    world = PlanWorld()
    world.settle()
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Running", running={"startedAt": "2026-11-28T08:00:05Z"})
    world.now_ms += 5_000
    world.settle()
    for _ in range(2):
        world.spawn_executor()
        world.now_ms += 1_000
        world.settle()
    for executor in world.executors():
        world.set_state(executor, "Running", running={"startedAt": "2026-11-28T08:00:09Z"})
        world.settle()
    world.set_state(driver, "Succeeded", terminated={"exitCode": 0, "finishedAt": "2026-11-28T08:00:07Z"})
    world.settle()
    assert world.run is not None
    assert world.run["status"]["conditions"][0]["reason"] == "DriverSucceeded"
    assert world.status_writes <= 5
    assert not world.executors()
