"""Airflow's own KubernetesPodOperator starts the daily run, waits for it and ends as it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.cluster import RELEASE, ROOT, Cluster
from tests.support.pipeline_runs import PipelineRuns, attempts, condition
from tests.support.release import Release, events

_PROJECT = ROOT / "airflow"
_BIN = _PROJECT / ".venv" / "bin"
_DAY = "2026-11-20"
"""A day of its own, so that no other test's run holds its key."""


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path) -> dict[str, str]:
    """What Airflow is told: an empty database, the DAGs of this tree, the test's cluster."""
    assert (_BIN / "airflow").exists(), "Airflow's environment is missing: run `make airflow`"
    connection = {
        "conn_type": "kubernetes",
        "extra": {"in_cluster": False, "xcom_sidecar_container_image": "localhost/headrace-cli:dev"},
    }
    return {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(_PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
        "HEADRACE_NAMESPACE": cluster.namespace,
        "HEADRACE_CLI_IMAGE": "localhost/headrace-cli:dev",
        "HEADRACE_RUN_SERVICE_ACCOUNT": f"{RELEASE}-run",
    }


def test_a_dag_run_makes_one_run_and_a_second_attaches_to_it(
    cluster: Cluster, runs: PipelineRuns, release: Release, home: dict[str, str]
) -> None:
    release.send([event | {"time": f"{_DAY}T10:00:00Z"} for event in events("airflow", 50)])
    release.settled()
    airflow = [str(_BIN / "airflow")]
    cluster.run(*airflow, "db", "migrate", environment=home)
    cluster.run(*airflow, "pools", "set", "headrace", "8", "Headrace batch runs", environment=home)
    conf = json.dumps({"date": _DAY})
    for when in ("2026-11-21T02:00:00+00:00", "2026-11-21T03:00:00+00:00"):
        cluster.run(*airflow, "dags", "test", "headrace_daily", when, "--conf", conf, environment=home)
        body = runs.get(f"daily-{_DAY}")
        assert condition(body) == ("True", "DriverSucceeded")
        assert len(attempts(body)) == 1
    (day,) = [each for each in body["status"]["result"]["days"] if each["date"] == _DAY]
    assert day["outcome"] == "swapped"
    assert body["status"]["result"]["counts"]["events_rows"] >= 50
