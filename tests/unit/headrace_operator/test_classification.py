"""What the end of a driver pod means: whose fault, what to tell, and in which order the signs count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace_core.run_policy import FailureClass, StopReason
from headrace_operator.classification import Ending, cut, ending_of, lost_ending
from headrace_operator.observed import ObservedPod, observe_pod

NOW = 1_795_852_900_000
LABELS = {"headrace.io/run": "r", "headrace.io/attempt": "1", "spark-role": "driver"}


def pod(
    code: int | None = None,
    *,
    status: dict[str, Any] | None = None,
    end: dict[str, Any] | None = None,
    **metadata: Any,
) -> ObservedPod:
    state = {} if code is None else {"terminated": {"exitCode": code, **(end or {})}}
    containers = {"containerStatuses": [{"name": "spark-kubernetes-driver", "state": state}]}
    seen = observe_pod({
        "metadata": {"name": "r-1-driver", "labels": LABELS, **metadata},
        "status": {"phase": "Failed", **(containers if state else {}), **(status or {})},
    })  # fmt: skip
    assert seen is not None
    return seen


def ended(driver: ObservedPod, stopped: StopReason | None = None) -> Ending:
    return ending_of(driver, stopped, NOW)


def result(code: int, **error: str) -> dict[str, str]:
    said = {
        "run": "r", "attempt": 1, "job": "daily", "outcome": "failed", "exitCode": code,
        "startedMs": 1, "endedMs": 2, "error": error or {"what": "It failed."},
    }  # fmt: skip
    return {"message": json.dumps(said)}


@pytest.mark.parametrize(
    ("code", "failure", "reason"),
    [
        (0, None, "DriverSucceeded"),
        (1, "application", "DriverFailed"),
        (11, "infrastructure", "ExecutorsFailed"),
        (52, "infrastructure", "OutOfMemory"),
        (64, "configuration", "InvalidConfiguration"),
        (65, "data", "BadData"),
        (69, "infrastructure", "Interrupted"),
        (70, "application", "DriverFailed"),
        (75, "infrastructure", "Interrupted"),
        (78, "configuration", "InvalidConfiguration"),
        (101, "configuration", "CannotRun"),
        (127, "configuration", "CannotRun"),
        (137, "infrastructure", "Interrupted"),
        (143, "infrastructure", "Interrupted"),
    ],
)
def test_the_containers_code_says_whose_fault(code: int, failure: FailureClass | None, reason: str) -> None:
    ending = ended(pod(code))
    assert (ending.exit_code, ending.failure, ending.reason) == (code, failure, reason)


def test_out_of_memory_counts_before_the_code() -> None:
    ending = ended(pod(137, end={"reason": "OOMKilled"}))
    assert (ending.failure, ending.reason) == ("infrastructure", "OutOfMemory")
    assert "driverMemoryMib" in ending.message


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (pod(status={"reason": "Evicted", "message": "low on memory"}), "Evicted"),
        (pod(1, status={"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}),
         "PreemptionByScheduler"),
        (pod(1, deletionTimestamp="2026-11-28T08:00:00Z"), "DriverDeleted"),
        (pod(), "DriverLost"),
    ],
)  # fmt: skip
def test_what_the_cluster_did_is_no_fault_of_the_job(driver: ObservedPod, reason: str) -> None:
    ending = ended(driver)
    assert (ending.failure, ending.reason) == ("infrastructure", reason)
    assert ending.message


def test_the_drivers_own_word_counts_before_a_deletion() -> None:
    ending = ended(pod(65, end=result(65), deletionTimestamp="2026-11-28T08:00:00Z"))
    assert (ending.failure, ending.reason) == ("data", "BadData")


def test_success_is_success_whatever_else_was_asked() -> None:
    assert ended(pod(0), "Cancelled").failure is None
    assert ended(pod(0, deletionTimestamp="2026-11-28T08:00:00Z")).reason == "DriverSucceeded"


@pytest.mark.parametrize("stopped", ["Cancelled", "DeadlineExceeded"])
def test_what_was_stopped_ended_for_that(stopped: StopReason) -> None:
    ending = ended(pod(143, end={"reason": "OOMKilled"}), stopped)
    assert (ending.exit_code, ending.failure, ending.reason) == (143, None, stopped)


def test_an_image_that_cannot_be_pulled_is_configuration() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    seen = pod(status={"containerStatuses": [{"name": "spark-kubernetes-driver", "state": waiting}]})
    ending = ended(seen, "SchedulingDeadlineExceeded")
    assert ending.failure == "configuration"
    assert "no such image" in ending.message
    assert ended(pod(), "SchedulingDeadlineExceeded").failure == "infrastructure"


def test_the_jobs_words_are_the_message_and_its_result_is_kept() -> None:
    ending = ended(pod(65, end=result(65, what="The day is torn.", why="Its digest differs.", fix="Look.")))
    assert ending.message == "The day is torn. Why: Its digest differs. Fix: Look."
    assert ending.result is not None
    assert ending.result.exit_code == 65


def test_of_a_log_the_traceback_is_the_message() -> None:
    log = (
        'INFO x\nTraceback (most recent call last):\n  File "a.py", line 1\nValueError: orders\nINFO Shutdown'
    )
    assert ended(pod(1, end={"message": log})).message.endswith("ValueError: orders")
    long = "Traceback (most recent call last):\n" + '  File "a.py"\n' * 200 + "ValueError: orders\n"
    message = ended(pod(1, end={"message": long})).message
    assert message.startswith("ValueError: orders\nTraceback")
    assert len(message) == 1_024
    assert ended(pod(1, end={"message": "a\n" * 2_000})).message.endswith("a")


def test_the_end_is_the_containers_and_never_later_than_now() -> None:
    assert ended(pod(1, end={"finishedAt": "2026-11-28T08:00:00Z"})).ended_ms == 1_795_852_800_000
    assert ended(pod(1, end={"finishedAt": "2030-01-01T00:00:00Z"})).ended_ms == NOW
    assert ended(pod(1)).ended_ms == NOW


def test_a_lost_driver_is_named() -> None:
    ending = lost_ending(NOW, "r-1-driver")
    assert (ending.exit_code, ending.failure, ending.reason) == (None, "infrastructure", "DriverLost")
    assert "r-1-driver" in ending.message


def test_what_is_cut_says_so() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcd", 3) == "ab…"
