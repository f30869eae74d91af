"""Makes the generation of each day before its dashboards are due at 08:00, and tells people before that is missed.

01:30 is an hour and a half after the day: what is in time has been staged. The alert comes five hours later, at 06:30; on the
two days on which clocks change, at 05:30 or 07:30, still before the deadline.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AsyncCallback, CronDataIntervalTimetable, DeadlineAlert, DeadlineReference
from headrace_alerts import deadline_near, task_failed
from headrace_runs import (
    DAY_READY,
    DEFAULT_ARGS,
    PARAMS,
    REPORTING_TIMEZONE,
    START,
    TAGS,
    reporting_day,
    run_task,
    utc_days,
)

with DAG(
    dag_id="headrace_daily",
    schedule=CronDataIntervalTimetable("30 1 * * *", timezone=REPORTING_TIMEZONE),
    start_date=START,
    catchup=False,
    # A backfill makes its days one by one: they would compete for the same executors.
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "on_failure_callback": task_failed},
    params=dict(PARAMS),
    tags=[*TAGS],
    user_defined_macros={"utc_days": utc_days, "reporting_day": reporting_day},
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=5),
        callback=AsyncCallback(deadline_near),
    ),
    doc_md=__doc__,
):
    run_task(
        "daily",
        "daily",
        "daily-{{ reporting_day(dag_run, params) }}",
        ["--interval", "{{ utc_days(dag_run, params) }}"],
        outlets=[DAY_READY],
        priority_weight=10,
    )
