"""PipelineRuns on a real cluster with a real Spark: to their end through kills, memory limits, and changes of mind."""

from __future__ import annotations

import datetime as dt
import json

import httpx
import pytest
from tests.e2e.conftest import RUN_TOKEN
from tests.support.cluster import RELEASE, Cluster
from tests.support.pipeline_runs import Body, PipelineRuns, attempts, condition
from tests.support.release import Release, events

_FINISHED_WITHIN_S = 600.0
_EVENTS = 200
_OPERATOR = "app.kubernetes.io/component=operator"

# Many small processes: what the kernel ends is the driver, as the largest, as it would if it had used the memory itself.
_USE_UP_MEMORY = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        held = b'x' * (40 << 20)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""


@pytest.fixture
def today(release: Release, request: pytest.FixtureRequest) -> str:
    """A day with events that no generation of it has yet, so that a daily run has to work."""
    release.send(events(request.node.name, _EVENTS))
    release.settled()
    return dt.datetime.now(dt.UTC).date().isoformat()


def _ended(runs: PipelineRuns, name: str) -> Body:
    return runs.reason(name, "DriverSucceeded", within_s=_FINISHED_WITHIN_S)


def test_a_daily_run_with_executors_makes_its_day(cluster: Cluster, runs: PipelineRuns, today: str) -> None:
    runs.create("daily", job="daily", date=today)
    driver = runs.driver_runs("daily")
    runs.until("daily", lambda body: body["status"].get("executors", {}).get("running") == 1)
    (executor,) = runs.pods("daily", "executor")
    for pod in (driver, executor):
        assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert executor["spec"]["automountServiceAccountToken"] is False
    cluster.kubectl("wait", "plrun/daily", "--for=condition=Succeeded", "--timeout=10m")
    body = _ended(runs, "daily")
    (attempt,) = attempts(body)
    assert (attempt["exitCode"], condition(body, "Reconciling")[0]) == (0, "False")
    (day,) = [each for each in body["status"]["result"]["days"] if each["date"] == today]
    assert day["outcome"] == "swapped"
    assert body["status"]["result"]["counts"]["events_rows"] >= _EVENTS
    assert runs.pods("daily", "executor") == []
    assert today in cluster.kubectl("logs", "daily-1-driver")


def test_a_run_is_done_again_over_http_though_its_operator_is_killed(
    cluster: Cluster, runs: PipelineRuns, today: str
) -> None:
    headers = {"Authorization": f"Bearer {RUN_TOKEN}", "Idempotency-Key": "once"}
    with cluster.forward(f"{RELEASE}-api") as url:
        assert httpx.post(f"{url}/v1/runs/daily/reruns", timeout=30.0).status_code == 401
        asked = [httpx.post(f"{url}/v1/runs/daily/reruns", headers=headers, timeout=30.0) for _ in range(2)]
    assert [answer.status_code for answer in asked] == [201, 200]
    name = asked[0].json()["name"]
    assert asked[1].json()["name"] == name
    driver = runs.driver_runs(name)
    cluster.kubectl("delete", "pod", f"--selector={_OPERATOR}", "--grace-period=0", "--force")
    body = _ended(runs, name)
    assert (body["spec"]["rerunOf"], len(attempts(body))) == ("daily", 1)
    assert [pod["metadata"]["uid"] for pod in runs.pods(name, "driver")] == [driver["metadata"]["uid"]]
    with cluster.forward(f"{RELEASE}-api") as url:
        logs = httpx.get(f"{url}/v1/runs/{name}/logs", headers=headers, timeout=60.0)
    assert logs.status_code == 200
    assert logs.text


def test_a_run_waits_while_suspended_and_goes_on_after_its_driver_ran_out_of_memory(
    cluster: Cluster, runs: PipelineRuns, today: str
) -> None:
    runs.create(
        "hungry", job="daily", date=today, suspend=True, retry={"limit": 1, "initialSeconds": 1, "factor": 1}
    )
    runs.until("hungry", lambda body: condition(body) == ("Unknown", "Suspended"))
    assert runs.pods("hungry") == []
    runs.patch("hungry", suspend=False)
    driver = runs.driver_runs("hungry")
    cluster.kubectl("exec", driver["metadata"]["name"], "--", "python", "-c", _USE_UP_MEMORY, fails=True)
    body = _ended(runs, "hungry")
    first, second = attempts(body)
    assert (first["failure"], first["reason"]) == ("infrastructure", "OutOfMemory")
    assert (second["number"], second["exitCode"]) == (2, 0)


def test_a_cancelled_run_leaves_no_pod_at_work(runs: PipelineRuns, today: str) -> None:
    runs.create("unwanted", job="daily", date=today)
    runs.driver_runs("unwanted")
    runs.patch("unwanted", cancel=True)
    body = runs.reason("unwanted", "Cancelled")
    assert len(attempts(body)) == 1
    assert runs.pods("unwanted", "executor") == []
    assert all(pod["status"]["phase"] != "Running" for pod in runs.pods("unwanted"))


def test_executors_that_find_no_node_are_not_waited_for_for_ever(runs: PipelineRuns, today: str) -> None:
    runs.create("no-room", job="daily", date=today, size="executors-unplaced", schedulingDeadlineSeconds=20)
    stalled = runs.until("no-room", lambda body: condition(body, "Stalled")[0] == "True")
    assert stalled["status"]["executors"]["pending"] == 1
    body = runs.reason("no-room", "SchedulingDeadlineExceeded")
    assert "Insufficient memory" in json.dumps(body["status"])
    assert runs.pods("no-room", "executor") == []
