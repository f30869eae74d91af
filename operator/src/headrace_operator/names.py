"""Names of the resource, its children, their labels and finalizer: the one definition of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from headrace_core.run_resource import API_VERSION, GROUP, KIND, LONGEST_NAME, PLURAL, VERSION

__all__ = [
    "API_VERSION",
    "ATTEMPT_LABEL",
    "DRIVER_FINALIZER",
    "FIELD_MANAGER",
    "GROUP",
    "JOB_LABEL",
    "KIND",
    "LONGEST_RUN_NAME",
    "MANAGED_BY",
    "MANAGED_BY_LABEL",
    "PLURAL",
    "ROLE_LABEL",
    "RUN_LABEL",
    "RUN_UID_LABEL",
    "SHORT_NAME",
    "VERSION",
    "app_id",
    "attempt_labels",
    "config_map_name",
    "driver_name",
    "executor_selector",
    "pods_selector",
    "selector_text",
]

SHORT_NAME = "plrun"
FIELD_MANAGER = "headrace-operator"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "headrace-operator"
RUN_LABEL = f"{GROUP}/run"
RUN_UID_LABEL = f"{GROUP}/run-uid"
ATTEMPT_LABEL = f"{GROUP}/attempt"
JOB_LABEL = f"{GROUP}/job"
ROLE_LABEL = "spark-role"
"""Spark's own label: driver or executor."""

DRIVER_FINALIZER = f"{GROUP}/attempt"
"""Keeps a driver pod until the end of its attempt stands in the status and its executors are deleted."""

LONGEST_RUN_NAME = LONGEST_NAME


def app_id(run: str, attempt: int) -> str:
    """What Spark calls the attempt: its application id and the prefix of its executors' names."""
    return f"{run}-{attempt}"


def driver_name(run: str, attempt: int) -> str:
    """The driver pod of an attempt."""
    return f"{app_id(run, attempt)}-driver"


def config_map_name(run: str, attempt: int) -> str:
    """The ConfigMap of an attempt."""
    return f"{app_id(run, attempt)}-conf"


def attempt_labels(run: str, run_uid: str, attempt: int, job: str) -> dict[str, str]:
    """What every child of an attempt carries, executors included."""
    return {
        MANAGED_BY_LABEL: MANAGED_BY,
        RUN_LABEL: run,
        RUN_UID_LABEL: run_uid,
        ATTEMPT_LABEL: str(attempt),
        JOB_LABEL: job,
    }


def pods_selector(run: str) -> Mapping[str, str]:
    """Labels by which all pods of a run are listed, those of a namesake before it included."""
    return {MANAGED_BY_LABEL: MANAGED_BY, RUN_LABEL: run}


def executor_selector(run_uid: str, attempt: int) -> Mapping[str, str]:
    """Labels by which the executors of an attempt are deleted."""
    return {RUN_UID_LABEL: run_uid, ATTEMPT_LABEL: str(attempt), ROLE_LABEL: "executor"}


def selector_text(labels: Mapping[str, str]) -> str:
    """Labels as the API server takes them to choose objects by."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
