"""What all DAGs of Headrace share: a task that creates one PipelineRun, waits for it and ends as it ended.

The pod of a task runs `headrace run JOB --wait` and nothing else: the work is done by the operator, and so are retries. The
name of the run follows from what is asked for, so a task that is tried again, cleared, or run twice attaches to the run that
there is. A pod that Airflow kills leaves the run alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pendulum
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import Asset, Param
from kubernetes.client import models as k8s

__all__ = [
    "DAY_READY",
    "DEFAULT_ARGS",
    "PARAMS",
    "POOL",
    "REPORTING_TIMEZONE",
    "START",
    "TAGS",
    "reporting_day",
    "run_task",
    "tool_task",
    "utc_days",
    "utc_span",
]

REPORTING_TIMEZONE = pendulum.timezone(os.environ.get("HEADRACE_REPORTING_TIMEZONE", "UTC"))
"""The zone of the dashboards' days; the installation's `reporting_timezone`."""

START = pendulum.datetime(2026, 1, 1, tz=REPORTING_TIMEZONE)
TAGS = ("headrace",)
DAY_READY = Asset(name="headrace_day", uri="headrace://lake/day")
"""A day's generation was swapped in, and loaded."""

POOL = os.environ.get("HEADRACE_AIRFLOW_POOL", "headrace")
"""Bounds how many runs wait at once. Create it: `airflow pools set headrace 8 "Headrace batch runs"`."""

NAMESPACE = os.environ.get("HEADRACE_NAMESPACE", "headrace")
IMAGE = os.environ.get("HEADRACE_CLI_IMAGE", "headrace-cli:0.1.0")
SERVICE_ACCOUNT = os.environ.get("HEADRACE_RUN_SERVICE_ACCOUNT", "headrace-run")

DEFAULT_ARGS: Mapping[str, Any] = {
    "owner": "data-platform",
    # Of the pod alone: a task that is tried again attaches to the run, whose own retries are the operator's.
    "retries": 2,
    "retry_delay": timedelta(minutes=2),
}

PARAMS: Mapping[str, Param] = {
    "date": Param(
        None,
        type=["null", "string"],
        format="date",
        description="The day to work on, in the reporting time zone, instead of the one that the schedule names.",
    ),
    "rerun": Param(
        0,
        type="integer",
        minimum=0,
        maximum=99,
        description="0 attaches to the run of the day if there is one; another number makes another run.",
    ),
}

_WITHIN = timedelta(hours=26)
"""Longest wait of a task: a run's longest deadline (24 h), and its place in the queue."""

_SECURE_POD = k8s.V1PodSecurityContext(
    run_as_non_root=True,
    run_as_user=10001,
    run_as_group=10001,
    seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
)
_SECURE_CONTAINER = k8s.V1SecurityContext(
    allow_privilege_escalation=False,
    capabilities=k8s.V1Capabilities(drop=["ALL"]),
    read_only_root_filesystem=True,
)
_RESOURCES = k8s.V1ResourceRequirements(requests={"cpu": "20m", "memory": "96Mi"}, limits={"memory": "256Mi"})
_SCRATCH = k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="16Mi"))


def reporting_day(dag_run: Any, params: Mapping[str, Any]) -> date:
    """The day of the reporting time zone that a DAG run is about: the one asked for, else the last that is over."""
    if given := params.get("date"):
        return date.fromisoformat(given)
    end = pendulum.instance(dag_run.data_interval_end or dag_run.run_after)
    return (end.in_timezone(REPORTING_TIMEZONE) - timedelta(days=1)).date()


def utc_days(dag_run: Any, params: Mapping[str, Any]) -> str:
    """The UTC event dates that the reporting day touches, as `A..B` without B: two where the zone is not UTC."""
    return utc_span(reporting_day(dag_run, params), REPORTING_TIMEZONE)


def utc_span(day: date, zone: pendulum.Timezone) -> str:
    """The UTC dates that a day of a zone touches, as `A..B` without B."""
    begins = pendulum.datetime(day.year, day.month, day.day, tz=zone)
    last = (begins.add(days=1) - timedelta(microseconds=1)).in_timezone("UTC").date()
    return f"{begins.in_timezone('UTC').date()}..{last + timedelta(days=1)}"


def run_task(
    task_id: str, job: str, name: str, options: Sequence[str] = (), **more: Any
) -> KubernetesPodOperator:
    """A task that runs ``headrace run JOB --name NAME OPTIONS --wait``. ``name`` and ``options`` may be templates; XCom carries
    the run as it ended. The exit code is the run's: 65 bad data, 69 a dependency is away, 75 try again later."""
    numbered = name + "{{ '-r%d' % params.rerun if params.rerun else '' }}"
    arguments = [
        "run",
        job,
        "--name",
        numbered,
        *options,
        "--wait",
        "--json",
        "--result",
        "/airflow/xcom/return.json",
    ]
    return _pod(task_id, arguments, do_xcom_push=True, **more)


def tool_task(task_id: str, arguments: Sequence[str], **more: Any) -> KubernetesPodOperator:
    """A task that runs another command of ``headrace``; its settings come from ``env_from``."""
    return _pod(task_id, arguments, do_xcom_push=False, **more)


def _pod(task_id: str, arguments: Sequence[str], **more: Any) -> KubernetesPodOperator:
    return KubernetesPodOperator(
        task_id=task_id,
        name=f"headrace-{task_id}".replace("_", "-"),
        namespace=NAMESPACE,
        image=IMAGE,
        image_pull_policy="IfNotPresent",
        cmds=["headrace"],
        arguments=list(arguments),
        service_account_name=SERVICE_ACCOUNT,
        automount_service_account_token=True,
        security_context=_SECURE_POD,
        container_security_context=_SECURE_CONTAINER,
        xcom_sidecar_container_security_context=_SECURE_CONTAINER,
        container_resources=_RESOURCES,
        volumes=[_SCRATCH],
        volume_mounts=[k8s.V1VolumeMount(name="tmp", mount_path="/tmp")],  # noqa: S108 - the pod's own
        env_vars={"HEADRACE_RUN_BACKEND": "kubernetes", "HEADRACE_NAMESPACE": NAMESPACE},
        pool=POOL,
        # The pod only waits. To kill it (a worker that stops, a task marked as failed) ends no run.
        on_finish_action="delete_succeeded_pod",
        termination_grace_period=5,
        startup_timeout_seconds=600,
        active_deadline_seconds=int(_WITHIN.total_seconds()),
        execution_timeout=_WITHIN,
        get_logs=True,
        log_events_on_failure=True,
        **more,
    )
