"""What is done about a run, case by case. Histories that nobody thought of are in test_plan_histories."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.plan_world import T0, PlanWorld

from headrace_operator.actions import (
    CancelRun,
    Conflict,
    CreateConfigMap,
    CreateDriver,
    DeleteDriver,
    DeleteRun,
    DryRunExecutor,
    EmitEvent,
    Facts,
    Plan,
    Refusal,
    RemoveDriverFinalizer,
    SweepExecutors,
    WriteStatus,
)
from headrace_operator.cleaning import plan_orphans
from headrace_operator.observed import observe_pod

_STARTED = {"startedAt": "2026-11-28T08:00:00Z"}


def kinds(plan: Plan) -> list[type]:
    return [type(action) for action in plan.actions if not isinstance(action, EmitEvent)]


def succeeded(world: PlanWorld) -> tuple[str, str]:
    return condition(world, "Succeeded")


def condition(world: PlanWorld, kind: str) -> tuple[str, str]:
    assert world.run is not None
    found = next(each for each in world.run["status"]["conditions"] if each["type"] == kind)
    return found["status"], found["reason"]


def attempts(world: PlanWorld) -> list[dict[str, Any]]:
    assert world.run is not None
    found: list[dict[str, Any]] = world.run["status"]["attempts"]
    return found


def begun(**spec: object) -> PlanWorld:
    """The first driver is there and waits."""
    world = PlanWorld(**spec)
    world.settle()
    return world


def running(**spec: object) -> PlanWorld:
    world = begun(**spec)
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Running", running=_STARTED)
    world.settle()
    return world


def end_driver(world: PlanWorld, code: int) -> None:
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Failed", terminated={"exitCode": code})
    if driver["metadata"].get("deletionTimestamp"):
        world.delete_pod(driver["metadata"]["name"])
    world.settle()


# Starting


def test_the_intent_is_written_before_anything_is_made() -> None:
    assert kinds(PlanWorld().plan()) == [WriteStatus, DryRunExecutor, CreateConfigMap, CreateDriver]


def test_an_intent_without_its_driver_is_carried_on() -> None:
    world = PlanWorld()
    world.reconcile(most_actions=1)
    assert kinds(world.plan()) == [DryRunExecutor, CreateConfigMap, CreateDriver]


def test_what_was_created_is_seen_and_named_in_the_status() -> None:
    world = begun()
    [attempt] = attempts(world)
    assert (attempt["driverPod"], attempt["driverUid"]) == ("r-1-driver", "pod-1")
    assert succeeded(world) == ("Unknown", "Pending")


@pytest.mark.parametrize("kind", ["admission", "invalid"])
def test_executors_that_admission_refuses_end_the_run_before_a_driver(kind: Any) -> None:
    world = PlanWorld()
    world.reconcile(most_actions=1)
    world.apply(Facts(refusal=Refusal("executor", kind, "privileged")))
    world.settle()
    assert succeeded(world) == ("False", "InvalidConfiguration")
    assert "privileged" in attempts(world)[0]["message"]
    assert world.created == []


def test_without_quota_the_run_is_stalled_and_tried_again() -> None:
    world = PlanWorld()
    world.reconcile(most_actions=1)
    quota = Facts(refusal=Refusal("create pods", "quota", "exceeded quota"))
    plan = world.apply(quota)
    assert condition(world, "Stalled") == ("True", "QuotaExceeded")
    assert plan.requeue_at_ms == T0 + 10_000
    assert not world.plan(quota).actions
    assert WriteStatus not in kinds(world.plan()), "no status is written for the try"
    world.settle()
    assert condition(world, "Stalled") == ("False", "NotStalled")


def test_no_place_within_the_scheduling_deadline_ends_a_run_that_could_never_create() -> None:
    world = PlanWorld(schedulingDeadlineSeconds=60)
    world.reconcile(most_actions=1)
    quota = Facts(refusal=Refusal("create pods", "quota", "exceeded quota"))
    world.apply(quota)
    world.now_ms += 60_000
    world.settle()
    assert succeeded(world) == ("False", "SchedulingDeadlineExceeded")
    assert "exceeded quota" in attempts(world)[0]["message"]
    assert world.created == []


def test_a_foreign_object_with_the_childs_name_fails_the_attempt() -> None:
    world = PlanWorld()
    world.reconcile(most_actions=1)
    world.apply(Facts(conflict=Conflict("Pod", "r-1-driver", terminating=True)))
    assert "endTime" not in attempts(world)[0]
    world.apply(Facts(conflict=Conflict("Pod", "r-1-driver", terminating=False)))
    assert (attempts(world)[0]["failure"], attempts(world)[0]["reason"]) == (
        "infrastructure",
        "ForeignObject",
    )
    assert "r-1-driver" in attempts(world)[0]["message"]


def test_an_unknown_size_and_an_unknown_field_end_the_run() -> None:
    for spec in ({"size": "huge"}, {"image": "evil"}):
        world = PlanWorld(**spec)
        world.settle()
        assert succeeded(world) == ("False", "InvalidSpec")
        assert world.created == []


# Waiting


def test_a_suspended_run_begins_nothing_until_it_is_resumed() -> None:
    world = PlanWorld(suspend=True)
    world.settle()
    assert succeeded(world) == ("Unknown", "Suspended")
    assert world.created == []
    world.change_spec(suspend=False)
    world.settle()
    assert len(world.created) == 1


def test_forbid_ends_the_run_queue_waits_replace_cancels() -> None:
    outcomes = {}
    for policy in ("Forbid", "Queue", "Replace"):
        world = PlanWorld(concurrencyPolicy=policy)
        world.holders = ["other"]
        world.settle()
        outcomes[policy] = (succeeded(world), world.cancelled)
    assert outcomes == {
        "Forbid": (("False", "ConcurrencyForbidden"), []),
        "Queue": (("Unknown", "WaitingForKey"), []),
        "Replace": (("Unknown", "WaitingForKey"), ["other"]),
    }


def test_a_cancellation_of_others_that_was_cut_off_is_repeated() -> None:
    world = PlanWorld(concurrencyPolicy="Replace")
    world.holders = ["a", "b"]
    world.reconcile(most_actions=1)
    assert kinds(world.plan()) == [CancelRun, CancelRun, WriteStatus]


def test_a_key_that_is_never_free_ends_the_wait() -> None:
    world = PlanWorld(concurrencyPolicy="Queue", schedulingDeadlineSeconds=60)
    world.holders = ["other"]
    world.settle()
    assert world.plan().requeue_at_ms == T0 + 60_000
    world.now_ms += 60_000
    world.settle()
    assert succeeded(world) == ("False", "SchedulingDeadlineExceeded")


# While it runs


def test_an_image_that_cannot_be_pulled_stalls_and_then_ends_the_run() -> None:
    world = begun(schedulingDeadlineSeconds=60)
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Pending", waiting={"reason": "ImagePullBackOff", "message": "no such image"})
    world.settle()
    assert condition(world, "Stalled") == ("True", "ImagePullBackOff")
    world.now_ms += 60_000
    world.relist()
    assert kinds(world.plan()) == [WriteStatus, DeleteDriver]
    world.settle()
    end_driver(world, 137)
    assert succeeded(world) == ("False", "SchedulingDeadlineExceeded")
    assert attempts(world)[0]["failure"] == "configuration"


def test_executors_that_find_no_place_end_the_run_from_when_none_of_them_runs() -> None:
    world = running(schedulingDeadlineSeconds=60)
    world.spawn_executor()
    world.now_ms += 50_000
    world.spawn_executor()
    world.now_ms += 50_000
    world.settle()
    assert attempts(world)[0].get("stopped") is None
    world.now_ms += 10_000
    world.settle()
    assert attempts(world)[0]["stopped"] == "SchedulingDeadlineExceeded"


def test_one_executor_that_runs_is_enough() -> None:
    world = running(schedulingDeadlineSeconds=60)
    world.spawn_executor()
    world.spawn_executor()
    world.set_state(world.executors()[0], "Running", running=_STARTED)
    world.now_ms += 1_000_000
    world.settle()
    assert attempts(world)[0].get("stopped") is None


def test_a_driver_that_is_not_seen_is_lost_only_where_a_live_list_says_so() -> None:
    world = running()
    world.seen_pods.clear()
    assert world.plan().read_live
    assert not world.plan().actions
    assert not world.plan(Facts(pods_live=False)).actions
    world.force_delete("r-1-driver")
    world.settle()
    assert (attempts(world)[0]["reason"], attempts(world)[0]["failure"]) == ("DriverLost", "infrastructure")
    assert succeeded(world) == ("Unknown", "Backoff")


def test_a_cancelled_driver_is_asked_once_and_its_end_waited_for() -> None:
    world = running()
    world.change_spec(cancel=True)
    world.settle()
    driver = world.driver()
    assert driver is not None
    assert driver["metadata"]["deletionTimestamp"]
    assert succeeded(world) == ("Unknown", "Stopping")
    end_driver(world, 143)
    assert succeeded(world) == ("False", "Cancelled")
    assert world.pods == {}


def test_a_driver_whose_node_is_silent_after_its_grace_stalls_the_run() -> None:
    world = running()
    world.change_spec(cancel=True)
    world.settle()
    plan = world.plan()
    assert plan.requeue_at_ms is not None
    world.now_ms = plan.requeue_at_ms
    world.settle()
    assert condition(world, "Stalled") == ("True", "DriverUnreachable")
    assert succeeded(world) == ("Unknown", "Stopping")


def test_the_deadline_counts_over_all_attempts() -> None:
    world = running(deadlineSeconds=600)
    end_driver(world, 69)
    world.now_ms += 30_000
    world.settle()
    assert len(attempts(world)) == 2
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Running", running=_STARTED)
    world.now_ms = T0 + 600_000
    world.settle()
    end_driver(world, 143)
    assert succeeded(world) == ("False", "DeadlineExceeded")


# After an attempt


def test_the_end_is_written_before_executors_are_swept_and_the_finalizer_goes_last() -> None:
    world = running()
    world.spawn_executor()
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Succeeded", terminated={"exitCode": 0})
    world.relist()
    assert kinds(world.plan()) == [WriteStatus, SweepExecutors, RemoveDriverFinalizer]


@pytest.mark.parametrize(
    ("code", "reason"),
    [(0, "DriverSucceeded"), (65, "BadData"), (70, "DriverFailed"), (78, "InvalidConfiguration")],
)
def test_what_no_retry_mends_ends_the_run(code: int, reason: str) -> None:
    world = running()
    end_driver(world, code)
    assert succeeded(world) == ("True" if code == 0 else "False", reason)
    assert condition(world, "Reconciling") == ("False", "Finished")


def test_the_next_attempt_waits_for_the_pause_and_for_executors_to_go() -> None:
    world = running()
    world.spawn_executor()
    end_driver(world, 69)
    assert world.run is not None
    assert world.run["status"]["retryAfter"] == "2026-11-28T08:00:30Z"
    assert world.plan().requeue_at_ms == T0 + 30_000
    world.now_ms += 30_000
    assert world.plan().read_live
    lingering = {"metadata": {**world.created[0]["metadata"], "name": "exec-9", "uid": "exec-9"}, "spec": {}}
    lingering["metadata"]["labels"] = {**lingering["metadata"]["labels"], "spark-role": "executor"}
    lingering["metadata"]["deletionTimestamp"] = "2026-11-28T08:01:00Z"
    world.pods["exec-9"] = lingering
    world.settle()
    assert len(attempts(world)) == 1
    del world.pods["exec-9"]
    world.settle()
    assert len(attempts(world)) == 2
    assert world.driver() is not None


def test_retries_end_at_their_limit() -> None:
    world = running(retry={"limit": 1})
    end_driver(world, 69)
    world.now_ms += 30_000
    world.settle()
    end_driver(world, 69)
    assert succeeded(world) == ("False", "BackoffLimitExceeded")


def test_a_finished_run_goes_when_its_time_is_over() -> None:
    world = running(ttlSecondsAfterFinished=60)
    end_driver(world, 0)
    assert world.plan().requeue_at_ms == T0 + 60_000
    world.now_ms += 60_000
    assert kinds(world.plan()) == [DeleteRun]


# Refusals, ends of namespaces, orphans


def test_a_missing_right_is_told_and_what_runs_is_left_alone() -> None:
    world = running()
    world.change_spec(cancel=True)
    world.reconcile(most_actions=1)
    forbidden = Facts(refusal=Refusal("delete pods", "rbac", "cannot delete"))
    plan = world.apply(forbidden)
    assert condition(world, "Stalled") == ("True", "ApiRefused")
    assert plan.requeue_at_ms == T0 + 60_000
    assert not world.plan(forbidden).actions
    assert kinds(world.plan()) == [DeleteDriver], "the next try writes no status"


def test_a_status_that_may_not_be_written_is_tried_again_later() -> None:
    plan = PlanWorld().plan(Facts(refusal=Refusal("patch pipelineruns/status", "rbac", "no")))
    assert plan == Plan((), T0 + 60_000)


def test_in_a_namespace_that_ends_drivers_are_let_go_and_nothing_is_made() -> None:
    world = running()
    assert world.plan(Facts(namespace_ending=True)) == Plan()
    world.delete_pod("r-1-driver")
    world.relist()
    assert kinds(world.plan(Facts(namespace_ending=True))) == [RemoveDriverFinalizer]


def test_drivers_whose_run_is_gone_are_let_go_once_they_are_deleted() -> None:
    world = running()
    pods = [pod for body in world.pods.values() if (pod := observe_pod(body)) is not None]
    assert plan_orphans(pods) == Plan()
    world.delete_pod("r-1-driver")
    pods = [pod for body in world.pods.values() if (pod := observe_pod(body)) is not None]
    assert kinds(plan_orphans(pods)) == [RemoveDriverFinalizer]


# What is written


def test_conditions_keep_their_time_while_their_status_stays() -> None:
    world = begun()
    world.now_ms += 10_000
    driver = world.driver()
    assert driver is not None
    world.set_state(driver, "Running", running=_STARTED)
    world.settle()
    assert world.run is not None
    [first, *_] = world.run["status"]["conditions"]
    assert (first["reason"], first["lastTransitionTime"]) == ("Running", "2026-11-28T08:00:00Z")
    end_driver(world, 0)
    [first, *_] = world.run["status"]["conditions"]
    assert first["lastTransitionTime"] == "2026-11-28T08:00:10Z"


def test_people_are_told_of_attempts_and_of_the_end() -> None:
    world = running()
    end_driver(world, 65)
    told = [(event.type, event.reason) for event in world.events]
    assert told == [("Normal", "AttemptStarted"), ("Warning", "AttemptFailed"), ("Warning", "RunFailed")]
