"""What follows a day: its quality report once more, over the days before it too, and extracts for Tableau and files.

Both start when `headrace_daily` has made a day. `HEADRACE_EXPORTS` lists the extracts as table:format.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG
from headrace_alerts import task_failed
from headrace_runs import DAY_READY, DEFAULT_ARGS, PARAMS, START, TAGS, reporting_day, run_task, utc_days

EXPORTS = os.environ.get("HEADRACE_EXPORTS", "finance_daily:hyper events_day:hyper").split()

_COMMON = {
    "schedule": [DAY_READY],
    "start_date": START,
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {**DEFAULT_ARGS, "on_failure_callback": task_failed},
    "params": dict(PARAMS),
    "tags": [*TAGS],
    "user_defined_macros": {"utc_days": utc_days, "reporting_day": reporting_day},
    "doc_md": __doc__,
}

with DAG(dag_id="headrace_quality", **_COMMON):
    run_task(
        "quality",
        "quality",
        "quality-{{ reporting_day(dag_run, params) }}",
        ["--interval", "{{ utc_days(dag_run, params) }}"],
    )

with DAG(dag_id="headrace_export", **_COMMON):
    for wanted in EXPORTS:
        table, _, kind = wanted.partition(":")
        run_task(
            f"export_{table}",
            "export",
            f"export-{table.replace('_', '-')}-" + "{{ reporting_day(dag_run, params) }}",
            [
                "--interval",
                "{{ utc_days(dag_run, params) }}",
                "--set",
                f"table={table}",
                "--set",
                f"format={kind or 'parquet'}",
            ],
        )
