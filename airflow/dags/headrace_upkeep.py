"""Keeps the lake small, tidy and lawful: compaction every hour, identity every hour, archive and retention every night.

Retention comes after the archive, which must have verified a day before its hot rows may go.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, CronDataIntervalTimetable
from headrace_alerts import task_failed
from headrace_runs import (
    DEFAULT_ARGS,
    PARAMS,
    REPORTING_TIMEZONE,
    START,
    TAGS,
    reporting_day,
    run_task,
    tool_task,
)
from kubernetes.client import models as k8s

IDENTITY_SECRET = os.environ.get("HEADRACE_IDENTITY_SECRET", "headrace-identity")
"""Secret with HEADRACE_IDENTITY_URL, HEADRACE_IDENTITY_QUERY, maybe HEADRACE_IDENTITY_WATERMARK_COLUMN, and the account for Kafka
where it asks for one."""

SETTINGS = os.environ.get("HEADRACE_SETTINGS", "headrace-settings")
"""ConfigMap of the installation's settings, which the chart makes."""

_COMMON = {
    "start_date": START,
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {**DEFAULT_ARGS, "on_failure_callback": task_failed},
    "params": dict(PARAMS),
    "tags": [*TAGS],
    "user_defined_macros": {"reporting_day": reporting_day},
    "doc_md": __doc__,
}
_HOURLY = CronDataIntervalTimetable("15 * * * *", timezone="UTC")
_NIGHTLY = CronDataIntervalTimetable("0 4 * * *", timezone=REPORTING_TIMEZONE)

with DAG(dag_id="headrace_compact", schedule=_HOURLY, **_COMMON):
    run_task(
        "compact",
        "compact",
        "compact-{{ (dag_run.data_interval_end or dag_run.run_after) | ts_nodash | lower }}",
    )

with DAG(dag_id="headrace_retention", schedule=_NIGHTLY, **_COMMON):
    archive = run_task("archive", "archive", "archive-{{ reporting_day(dag_run, params) }}")
    retention = run_task("retention", "retention", "retention-{{ reporting_day(dag_run, params) }}")
    archive >> retention

with DAG(dag_id="headrace_identity", schedule=_HOURLY, **_COMMON):
    tool_task(
        "identity_sync",
        ["identity", "sync"],
        env_from=[
            k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name=SETTINGS)),
            k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=IDENTITY_SECRET)),
        ],
    )
