"""A run and its resource: what is asked for arrives as it was, what happened is told as it was."""

from __future__ import annotations

from typing import Any

import pytest

from headrace_core.errors import BadData
from headrace_core.pipeline_run import DailyParameters, Interval, Retry, RunSpec
from headrace_core.run_resource import resource_of, run_of


def _resource(status: dict[str, Any] | None = None) -> dict[str, Any]:
    body = resource_of("daily-2026-11-28", RunSpec(job="daily", date="2026-11-28"))
    body["metadata"]["creationTimestamp"] = "2026-11-29T01:30:00Z"
    return body if status is None else body | {"status": status}


def _succeeded(status: str, reason: str, message: str = "") -> dict[str, Any]:
    condition = {"type": "Succeeded", "status": status, "reason": reason, "message": message}
    return condition | {"lastTransitionTime": "2026-11-29T01:40:00Z"}


def test_a_spec_comes_back_as_it_was() -> None:
    spec = RunSpec(
        job="daily",
        interval=Interval(start="2026-11-01", end="2026-11-03"),
        daily=DailyParameters(catch_up=False),
        retry=Retry(limit=0),
        dry_run=True,
        rerun_of="daily-2026-11-01",
    )
    body = resource_of("again", spec)
    assert (body["apiVersion"], body["kind"], body["metadata"]) == (
        "headrace.io/v1alpha1",
        "PipelineRun",
        {"name": "again"},
    )
    assert run_of(body).spec == spec


def test_what_is_not_said_is_left_to_the_cluster() -> None:
    assert _resource()["spec"] == {"job": "daily", "date": "2026-11-28"}


@pytest.mark.parametrize("name", ["x" * 48, "Daily", "-a", "a.b", ""])
def test_a_name_that_pods_could_not_bear_is_refused(name: str) -> None:
    with pytest.raises(BadData) as caught:
        resource_of(name, RunSpec(job="retention"))
    assert caught.value.code == "run_name"


def test_a_run_that_nobody_has_looked_at_is_pending() -> None:
    run = run_of(_resource())
    assert (run.state, run.attempts, run.finished) == ("Pending", (), False)
    assert run.created_ms == 1_795_915_800_000


def test_a_running_attempt_makes_the_run_running() -> None:
    attempt = {"number": 1, "startTime": "2026-11-29T01:31:00Z"}
    status = {"conditions": [_succeeded("Unknown", "Running")], "attempts": [attempt]}
    run = run_of(_resource(status))
    assert run.state == "Running"
    assert run.attempts[0].running


def test_between_attempts_a_run_is_pending() -> None:
    attempt = {
        "number": 1,
        "startTime": "2026-11-29T01:31:00Z",
        "endTime": "2026-11-29T01:32:00Z",
        "exitCode": 69,
        "failure": "infrastructure",
        "message": "Kafka does not answer.",
    }
    run = run_of(_resource({"conditions": [_succeeded("Unknown", "Backoff")], "attempts": [attempt]}))
    assert (run.state, run.reason) == ("Pending", "Backoff")
    assert (run.attempts[0].exit_code, run.attempts[0].failure) == (69, "infrastructure")
    assert run.attempts[0].why == "Kafka does not answer."


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("True", "DriverSucceeded", "Succeeded"),
        ("False", "BadData", "Failed"),
        ("False", "Cancelled", "Cancelled"),
    ],
)
def test_the_condition_says_how_it_ended(status: str, reason: str, state: str) -> None:
    ended = {"conditions": [_succeeded(status, reason, "why")], "completionTime": "2026-11-29T01:40:00Z"}
    run = run_of(_resource(ended))
    assert (run.state, run.reason, run.message, run.finished) == (state, reason, "why", True)
    assert run.ended_ms is not None


def test_the_result_tells_what_became_of_each_day() -> None:
    attempt = {
        "number": 2,
        "startTime": "2026-11-29T01:31:00Z",
        "endTime": "2026-11-29T01:40:00Z",
        "exitCode": 0,
    }
    day = {"date": "2026-11-28", "outcome": "swapped", "generation": "daily-2026-11-28.2.1", "sequence": 4}
    status = {
        "conditions": [_succeeded("True", "DriverSucceeded")],
        "attempts": [attempt],
        "result": {"counts": {"rows": 7}, "days": [day]},
    }
    result = run_of(_resource(status)).result
    assert result is not None
    assert (result.attempt, result.exit_code, result.counts) == (2, 0, {"rows": 7})
    assert [(each.event_date, each.outcome, each.sequence) for each in result.days] == [
        ("2026-11-28", "swapped", 4)
    ]


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(BadData):
        run_of({"metadata": {"name": "x"}, "spec": {"job": "mine bitcoins"}})
    with pytest.raises(BadData):
        run_of(_resource({"attempts": "none"}))
