"""The DAGs as Airflow reads them: no import error, names that follow from the day, pods that only wait."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronDataIntervalTimetable
from airflow.serialization.serialized_objects import DagSerialization
from conftest import ROOT
from headrace_runs import PARAMS, POOL, reporting_day, utc_days, utc_span

_RUNS = {
    ("headrace_daily", "daily"): "daily",
    ("headrace_quality", "quality"): "quality",
    ("headrace_export", "export_finance_daily"): "export",
    ("headrace_export", "export_events_day"): "export",
    ("headrace_compact", "compact"): "compact",
    ("headrace_retention", "archive"): "archive",
    ("headrace_retention", "retention"): "retention",
}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    """All DAGs of the folder."""
    return DagBag(str(ROOT / "dags"))


def _context(day: str, **params: Any) -> dict[str, Any]:
    end = pendulum.parse(f"{day}T01:30:00+00:00").add(days=1)
    run = SimpleNamespace(data_interval_end=end, run_after=end)
    return {
        "dag_run": run,
        "params": {"date": None, "rerun": 0, **params},
        "utc_days": utc_days,
        "reporting_day": reporting_day,
    }


def _rendered(bag: DagBag, dag: str, task: str, context: dict[str, Any]) -> list[str]:
    found = bag.dags[dag].get_task(task)
    environment = bag.dags[dag].get_template_env()
    return [environment.from_string(text).render(context) for text in found.arguments]


def test_every_dag_is_imported(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert {(dag_id, task.task_id) for dag_id, dag in bag.dags.items() for task in dag.tasks} == {
        *_RUNS,
        ("headrace_identity", "identity_sync"),
    }


def test_every_dag_survives_its_way_through_the_database(bag: DagBag) -> None:
    for dag in bag.dags.values():
        again = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        assert again.task_ids == dag.task_ids


@pytest.mark.parametrize(("dag", "task"), _RUNS)
def test_a_task_waits_for_the_run_that_its_day_names(bag: DagBag, dag: str, task: str) -> None:
    first, again = (_rendered(bag, dag, task, _context("2026-11-28")) for _ in range(2))
    assert first == again
    assert first[:3] == ["run", _RUNS[dag, task], "--name"]
    assert "--wait" in first
    name = first[3]
    assert len(name) <= 47
    assert name == name.lower()
    assert "2026-11-28" in name or "20261129t" in name


def test_another_day_is_another_run(bag: DagBag) -> None:
    for dag, task in _RUNS:
        one, other = (_rendered(bag, dag, task, _context(day))[3] for day in ("2026-11-27", "2026-11-28"))
        assert one != other


def test_a_rerun_that_is_asked_for_has_a_name_of_its_own(bag: DagBag) -> None:
    arguments = _rendered(bag, "headrace_daily", "daily", _context("2026-11-28", rerun=2))
    assert arguments[3] == "daily-2026-11-28-r2"


def test_a_backfill_works_on_the_days_of_its_intervals(bag: DagBag) -> None:
    arguments = _rendered(bag, "headrace_daily", "daily", _context("2026-03-04"))
    assert arguments[arguments.index("--interval") + 1] == "2026-03-04..2026-03-05"


def test_a_date_that_is_asked_for_comes_before_the_schedules(bag: DagBag) -> None:
    arguments = _rendered(bag, "headrace_daily", "daily", _context("2026-11-28", date="2026-02-03"))
    assert arguments[3] == "daily-2026-02-03"
    assert arguments[arguments.index("--interval") + 1] == "2026-02-03..2026-02-04"


def test_a_run_without_an_interval_is_about_the_day_before_it() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert reporting_day(SimpleNamespace(data_interval_end=None, run_after=now), {}) == date(2026, 11, 28)


@pytest.mark.parametrize(
    ("zone", "day", "days"),
    [
        ("UTC", "2026-11-28", "2026-11-28..2026-11-29"),
        ("Europe/Berlin", "2026-11-28", "2026-11-27..2026-11-29"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28..2026-03-30"),
        ("America/Los_Angeles", "2026-11-28", "2026-11-28..2026-11-30"),
        ("Asia/Kolkata", "2026-11-28", "2026-11-27..2026-11-29"),
    ],
)
def test_a_reporting_day_touches_these_utc_dates(zone: str, day: str, days: str) -> None:
    assert utc_span(date.fromisoformat(day), pendulum.timezone(zone)) == days


def test_people_hear_of_a_late_day_before_its_deadline(bag: DagBag) -> None:
    daily = bag.dags["headrace_daily"]
    assert (
        isinstance(daily.timetable, CronDataIntervalTimetable)
        or "CronDataInterval" in type(daily.timetable).__name__
    )
    [deadline] = daily.deadline if isinstance(daily.deadline, list) else [daily.deadline]
    assert deadline.interval <= timedelta(hours=8) - timedelta(hours=1, minutes=30)
    assert deadline.callback.path.endswith("headrace_alerts.deadline_near")


def test_pods_only_wait_and_may_do_little(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for task in dag.tasks:
            container, pod = task.container_security_context, task.security_context
            assert container.allow_privilege_escalation is False
            assert container.capabilities.drop == ["ALL"]
            assert container.read_only_root_filesystem is True
            assert task.xcom_sidecar_container_security_context == container
            assert pod.run_as_non_root is True
            assert pod.seccomp_profile.type == "RuntimeDefault"
            assert task.container_resources.limits["memory"] == "256Mi"
            assert task.pool == POOL
            assert task.owner == "data-platform"


def test_a_task_that_is_tried_again_makes_no_other_run(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for task in dag.tasks:
            assert "try_number" not in " ".join(task.arguments)
            assert "run_id" not in " ".join(task.arguments)
            assert task.retries >= 1


def test_no_secret_is_a_value(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for task in dag.tasks:
            assert set(task.env_vars) <= {"HEADRACE_RUN_BACKEND", "HEADRACE_NAMESPACE"}


def test_parameters_refuse_what_is_no_day() -> None:
    with pytest.raises(Exception, match="date"):
        PARAMS["date"].resolve("yesterday")
    with pytest.raises(Exception, match="minimum"):
        PARAMS["rerun"].resolve(-1)


def test_identity_is_told_where_the_log_is_and_what_to_read(bag: DagBag) -> None:
    task = bag.dags["headrace_identity"].get_task("identity_sync")
    sources = [(each.config_map_ref or each.secret_ref).name for each in task.env_from]
    assert sources == ["headrace-settings", "headrace-identity"]
