"""What the operator decides about runs, on a real cluster, with pods that find no node: limits, keys, ends, bursts."""

from __future__ import annotations

import json
import time

import pytest
from tests.support.cluster import Cluster
from tests.support.hostile_specs import CLEAN, hostile_fields
from tests.support.pipeline_runs import PipelineRuns, attempts, condition, resource
from tests.support.run_cases import REFUSED, TAKEN

_DAY = {"job": "daily", "date": "2026-11-28"}
_UNPLACED = {**_DAY, "size": "driver-unplaced"}
_BURST = 300


def _tried(cluster: Cluster, bodies: list[dict[str, object]], *, fails: bool) -> str:
    """What kubectl says of creating them all on the server without keeping any."""
    documents = "\n---\n".join(
        json.dumps(body) for body in bodies
    )  # of a list kubectl itself refuses the whole
    return cluster.kubectl("create", "--dry-run=server", "--filename=-", stdin=documents, fails=fails)


def test_the_api_server_takes_what_it_should_take(cluster: Cluster) -> None:
    bodies = [resource(f"taken-{number}", spec) for number, spec in enumerate(TAKEN.values())]
    said = _tried(cluster, bodies, fails=False)
    assert said.count("created (server dry run)") == len(TAKEN)


def test_the_api_server_refuses_each_wrong_spec(cluster: Cluster) -> None:
    for number, (name, spec) in enumerate(REFUSED.items()):
        said = _tried(cluster, [resource(f"refused-{number}", spec)], fails=True)
        assert "is invalid" in said or "strict decoding error" in said, (name, said)


def test_the_api_server_refuses_hostile_fields_by_name(cluster: Cluster) -> None:
    specs = [spec for _, spec in hostile_fields()]
    said = _tried(cluster, [resource(f"hostile-{n}", spec) for n, spec in enumerate(specs)], fails=True)
    assert "created" not in said
    assert said.count("strict decoding error: unknown field") == len(specs)
    assert "created" in _tried(cluster, [resource("clean", CLEAN)], fails=False)


def test_a_spec_never_changes_but_for_its_switches(cluster: Cluster, runs: PipelineRuns) -> None:
    runs.create("fixed", **_UNPLACED, suspend=True)
    patch = json.dumps({"spec": {"date": "2026-11-27"}})
    said = cluster.kubectl("patch", "plrun", "fixed", "--type=merge", f"--patch={patch}", fails=True)
    assert "is invalid" in said
    runs.patch("fixed", cancel=True)
    assert condition(runs.reason("fixed", "Cancelled"))[0] == "False"


def test_a_driver_without_a_node_is_told_and_given_up(runs: PipelineRuns) -> None:
    runs.create("unplaced", **_UNPLACED, schedulingDeadlineSeconds=15, retry={"limit": 0})
    stalled = runs.until("unplaced", lambda body: condition(body, "Stalled")[0] == "True")
    assert "Insufficient memory" in json.dumps(stalled["status"])
    body = runs.reason("unplaced", "SchedulingDeadlineExceeded", "BackoffLimitExceeded")
    (attempt,) = attempts(body)
    assert (attempt["failure"], attempt["reason"]) == ("infrastructure", "SchedulingDeadlineExceeded")
    assert runs.pods("unplaced", "executor") == []


def test_the_deadline_of_the_whole_run_ends_it(runs: PipelineRuns) -> None:
    runs.create("late", **_UNPLACED, deadlineSeconds=60)
    body = runs.reason("late", "DeadlineExceeded")
    assert len(attempts(body)) == 1


def test_an_unknown_size_is_refused_with_those_that_there_are(runs: PipelineRuns) -> None:
    runs.create("sized", **_DAY, size="enormous")
    body = runs.reason("sized", "InvalidSpec")
    assert "executors-unplaced" in json.dumps(body["status"]["conditions"])


@pytest.mark.parametrize("policy", ["Forbid", "Queue", "Replace"])
def test_two_runs_of_one_key(runs: PipelineRuns, policy: str) -> None:
    first, second = f"first-{policy.lower()}", f"second-{policy.lower()}"
    runs.create(first, **_UNPLACED, concurrencyKey=policy)
    runs.until(first, lambda body: bool(attempts(body)))
    runs.create(second, **_UNPLACED, concurrencyKey=policy, concurrencyPolicy=policy)
    if policy == "Forbid":
        assert first in json.dumps(runs.reason(second, "ConcurrencyForbidden")["status"])
        runs.patch(first, cancel=True)
        runs.reason(first, "Cancelled")
        return
    if policy == "Queue":
        runs.until(second, lambda body: condition(body) == ("Unknown", "WaitingForKey"))
        assert runs.pods(second) == []
        runs.patch(first, cancel=True)
    runs.reason(first, "Cancelled")
    runs.until(second, lambda body: bool(attempts(body)))
    runs.patch(second, cancel=True)
    runs.reason(second, "Cancelled")


def test_a_finished_run_goes_with_all_it_had_when_its_time_is_over(
    cluster: Cluster, runs: PipelineRuns
) -> None:
    runs.create("short-lived", **_UNPLACED, ttlSecondsAfterFinished=2)
    runs.until("short-lived", lambda body: bool(attempts(body)))
    runs.patch("short-lived", cancel=True)
    cluster.kubectl("wait", "plrun/short-lived", "--for=delete", "--timeout=120s")
    cluster.kubectl("wait", "configmap/short-lived-1-conf", "--for=delete", "--timeout=60s")
    assert runs.pods("short-lived") == []


def test_a_burst_of_runs_gets_one_driver_each(cluster: Cluster, runs: PipelineRuns) -> None:
    names = [f"burst-{number:03}" for number in range(_BURST)]
    began = time.monotonic()
    runs.create_all(resource(name, {**_UNPLACED, "concurrencyKey": name}) for name in names)
    created_s = time.monotonic() - began
    drivers = f"headrace.io/run in ({','.join(names)})"
    deadline = time.monotonic() + 600
    while len(pods := cluster.objects("pods", drivers)) < _BURST:
        assert time.monotonic() < deadline, len(pods)
        time.sleep(1.0)
    print(
        f"{_BURST} runs made in {created_s:.1f} s, all with a driver after {time.monotonic() - began:.1f} s"
    )
    cluster.kubectl("delete", "plrun", *names, "--wait=false")
    while pods := cluster.objects("pods", drivers):
        assert {pod["metadata"]["name"] for pod in pods} <= {f"{name}-1-driver" for name in names}
        assert time.monotonic() < deadline + 600, len(pods)
        time.sleep(1.0)
