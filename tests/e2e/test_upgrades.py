"""Helm upgrades while runs are at work: none is restarted or lost; what is wrong is told and taken back. The last test uninstalls."""

from __future__ import annotations

import datetime as dt
import json

from tests.support.cluster import RELEASE, ROOT, Cluster
from tests.support.pipeline_runs import PipelineRuns, attempts, condition
from tests.support.release import Release, events

_CHART = ROOT / "helm" / "headrace"


def test_an_upgrade_to_a_missing_image_and_back_leaves_a_live_run_alone(
    cluster: Cluster, runs: PipelineRuns, release: Release
) -> None:
    release.send(events("before-upgrade", 100))
    release.settled()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    revision = json.loads(cluster.helm("status", RELEASE, "--output=json"))["version"]
    runs.create("live", job="daily", date=today)
    driver = runs.driver_runs("live")

    changed = ["--set", "runs.image.tag=not-there", "--set", "logLevel=DEBUG"]
    cluster.helm("upgrade", RELEASE, _CHART, "--reuse-values", *changed, "--wait", "--timeout=10m")
    runs.create("no-image", job="daily", date=today, concurrencyKey="other", schedulingDeadlineSeconds=30)
    runs.until("no-image", lambda body: condition(body, "Stalled")[0] == "True")
    assert "not-there" in json.dumps(runs.get("no-image")["status"])
    ended = runs.reason("no-image", "SchedulingDeadlineExceeded", "InvalidConfiguration")
    assert attempts(ended)[0]["failure"] == "configuration"

    cluster.helm("rollback", RELEASE, str(revision), "--wait", "--timeout=10m")
    body = runs.reason("live", "DriverSucceeded", within_s=600.0)
    assert len(attempts(body)) == 1
    (pod,) = runs.pods("live", "driver")
    assert pod["metadata"]["uid"] == driver["metadata"]["uid"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_uninstalling_leaves_runs_their_logs_and_the_data(cluster: Cluster, runs: PipelineRuns) -> None:
    before = {run["metadata"]["name"] for run in cluster.objects("plrun")}
    claims = {claim["metadata"]["name"] for claim in cluster.objects("persistentvolumeclaims")}
    assert {"live", "daily"} & before
    cluster.helm("uninstall", RELEASE, "--wait", "--timeout=5m")
    assert {run["metadata"]["name"] for run in cluster.objects("plrun")} == before
    assert {claim["metadata"]["name"] for claim in cluster.objects("persistentvolumeclaims")} == claims
    assert cluster.kubectl("logs", "live-1-driver")
    assert condition(runs.get("live")) == ("True", "DriverSucceeded")
