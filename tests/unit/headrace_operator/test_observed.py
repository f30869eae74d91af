"""Runs and pods from Kubernetes' JSON: what is missing is tolerated, what is foreign is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from headrace_core.errors import BadData
from headrace_core.instants import instant_text, read_instant
from headrace_core.run_status import RunStatus
from headrace_operator.observed import ObservedRun, holders_of, observe_pod, observe_run

LABELS = {
    "headrace.io/run": "r",
    "headrace.io/run-uid": "u",
    "headrace.io/attempt": "2",
    "spark-role": "driver",
}


def run(name: str = "r", spec: object = None, **metadata: Any) -> ObservedRun:
    spec = spec if spec is not None else {"job": "daily", "date": "2026-11-28"}
    return observe_run({"metadata": {"name": name, "uid": f"uid-{name}", **metadata}, "spec": spec})


def pod(status: object = None, spec: object = None, **metadata: Any) -> Any:
    return observe_pod(
        {"metadata": {"name": "p", "labels": LABELS, **metadata}, "status": status, "spec": spec}
    )


def test_times_are_read_and_written_as_kubernetes_does() -> None:
    assert read_instant("2026-11-28T08:00:00Z") == 1_795_852_800_000
    assert read_instant("2026-11-28T08:00:00.250Z") == 1_795_852_800_250
    assert instant_text(1_795_852_800_999) == "2026-11-28T08:00:00Z"
    assert read_instant("yesterday") is read_instant(None) is None


def test_a_run_with_nothing_but_a_name_and_a_spec() -> None:
    seen = run()
    assert seen.spec is not None
    assert seen.key == "daily/2026-11-28"
    assert (seen.status, seen.active, seen.deletion_ms) == (RunStatus(), True, None)


@pytest.mark.parametrize(
    ("name", "spec", "why"),
    [
        ("r", {"job": "daily"}, "daily needs a date or an interval"),
        ("r", {"job": "daily", "date": "2026-11-28", "image": "x"}, "unknown field `image`"),
        ("r", "daily", "a PipelineRun has a spec"),
        ("r" * 48, {"job": "archive"}, "1 to 47 characters"),
        ("r.s", {"job": "archive"}, "DNS label"),
    ],
)
def test_a_spec_that_cannot_be_understood_says_why(name: str, spec: object, why: str) -> None:
    seen = run(name, spec)
    assert seen.spec is None
    assert why in seen.invalid
    assert seen.key is None


def test_no_name_and_a_foreign_status_are_errors() -> None:
    with pytest.raises(BadData):
        observe_run({"metadata": {}})
    with pytest.raises(BadData):
        observe_run({"metadata": {"name": "r"}, "status": {"attempts": "three"}})


def test_a_driver_that_waits_runs_and_ends() -> None:
    unscheduled = pod(
        {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}
    )  # fmt: skip
    assert (unscheduled.unschedulable, unscheduled.waiting_message) == ("Unschedulable", "0/3 nodes")
    waiting = pod(_state({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}))
    assert (waiting.waiting, waiting.waiting_message) == ("ImagePullBackOff", "no such image")
    assert (waiting.running_ms, waiting.terminated, waiting.over) == (None, None, False)
    running = pod(_state({"running": {"startedAt": "2026-11-28T08:00:00Z"}}))
    assert running.running_ms == 1_795_852_800_000
    ended = pod(_state({"terminated": {"exitCode": 65, "reason": "Error", "message": "{}"}}))
    assert (ended.terminated.exit_code, ended.over, ended.running_ms) == (65, True, None)


def _state(state: object) -> dict[str, object]:
    return {
        "phase": "Running",
        "containerStatuses": [
            {"name": "sidecar", "state": {"terminated": {"exitCode": 1}}},
            {"name": "spark-kubernetes-driver", "state": state},
        ],
    }


def test_a_pod_deleted_before_it_had_a_node_is_over() -> None:
    assert pod({"phase": "Pending"}, deletionTimestamp="2026-11-28T08:00:00Z").over
    assert not pod({"phase": "Pending"}, {"nodeName": "n"}, deletionTimestamp="2026-11-28T08:00:00Z").over


def test_the_owner_is_the_controller() -> None:
    owners = [{"uid": "other"}, {"uid": "u", "controller": True}]
    assert pod(ownerReferences=owners).owner_uid == "u"
    assert pod().owner_uid == ""


@pytest.mark.parametrize(
    "change", [{"headrace.io/attempt": "x"}, {"headrace.io/run": ""}, {"spark-role": "ui"}]
)
def test_pods_of_others_are_passed_over(change: dict[str, str]) -> None:
    assert observe_pod({"metadata": {"name": "p", "labels": {**LABELS, **change}}}) is None


def test_holders_came_before_or_have_begun() -> None:
    me = run("b", creationTimestamp="2026-11-28T08:00:00Z")
    older = run("z", creationTimestamp="2026-11-28T07:59:59Z")
    same_second = run("a", creationTimestamp="2026-11-28T08:00:00Z")
    later = run("c", creationTimestamp="2026-11-28T08:00:00Z")
    other_key = run("d", {"job": "daily", "date": "2026-11-27"})
    over = observe_run({
        "metadata": {"name": "e", "uid": "e"}, "spec": {"job": "daily", "date": "2026-11-28"},
        "status": {"conditions": [
            {"type": "Succeeded", "status": "False", "reason": "Cancelled", "lastTransitionTime": "x"}]},
    })  # fmt: skip
    assert holders_of(me, [me, older, same_second, later, other_key, over]) == ("a", "z")
    begun = observe_run({
        "metadata": {"name": "c", "uid": "c", "creationTimestamp": "2026-11-28T08:00:00Z"},
        "spec": {"job": "daily", "date": "2026-11-28"},
        "status": {"attempts": [{"number": 1, "startTime": "2026-11-28T08:00:00Z"}]},
    })  # fmt: skip
    assert holders_of(me, [begun]) == ("c",)
