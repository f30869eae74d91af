"""A run as the resource of Kubernetes that it is there: from a spec to a PipelineRun, and back with its history. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from headrace_core.errors import BadData
from headrace_core.instants import read_instant
from headrace_core.pipeline_run import DayResult, RunResult, RunSpec, check_run_name, decode_spec
from headrace_core.run_policy import AttemptRecord, Run, RunState
from headrace_core.run_status import AttemptStatus, RunStatus, decode_status

__all__ = ["API_VERSION", "GROUP", "KIND", "LONGEST_NAME", "PLURAL", "VERSION", "resource_of", "run_of"]

GROUP = "headrace.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "PipelineRun"
PLURAL = "pipelineruns"

LONGEST_NAME = 47
"""So that the name of every pod of a run, with an executor's number behind it, stays a DNS label of 63 characters."""


def resource_of(name: str, spec: RunSpec) -> dict[str, Any]:
    """The PipelineRun to create; what the spec does not say is left to the CRD's defaults. BadData where the name is none."""
    if len(check_run_name(name)) > LONGEST_NAME:
        raise BadData(
            f"The name {name} is too long.",
            why=f"On Kubernetes a run's name has at most {LONGEST_NAME} characters: its pods' names begin with it.",
            fix="Choose a shorter one.",
            code="run_name",
        )
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": msgspec.to_builtins(spec),
    }


def run_of(body: Mapping[str, Any]) -> Run:
    """A run from its resource. BadData where spec or status cannot be read, as of a newer version."""
    metadata = body["metadata"]
    spec = decode_spec(json.dumps(body.get("spec") or {}).encode())
    status = decode_status(body.get("status"))
    name = str(metadata["name"])
    state, reason, message = _state(status)
    return Run(
        name=name,
        spec=spec,
        created_ms=read_instant(metadata.get("creationTimestamp")) or 0,
        attempts=tuple(_attempt(each) for each in status.attempts),
        state=state,
        reason=reason,
        message=message,
        ended_ms=read_instant(status.completion_time),
        result=_result(name, spec, status),
    )


def _state(status: RunStatus) -> tuple[RunState, str, str]:
    succeeded = status.condition("Succeeded")
    if succeeded is None:
        return "Pending", "", ""
    told = succeeded.reason, succeeded.message
    if succeeded.status == "True":
        return "Succeeded", *told
    if succeeded.status == "False":
        return ("Cancelled" if succeeded.reason == "Cancelled" else "Failed"), *told
    running = any(each.end_time is None for each in status.attempts)
    return ("Running" if running else "Pending"), *told


def _attempt(status: AttemptStatus) -> AttemptRecord:
    return AttemptRecord(
        number=status.number,
        started_ms=read_instant(status.start_time) or 0,
        ended_ms=read_instant(status.end_time),
        exit_code=status.exit_code,
        failure=status.failure,
        stopped=status.stopped,
        why=status.message or None,
    )


def _result(name: str, spec: RunSpec, status: RunStatus) -> RunResult | None:
    """What of the driver's result stands in the status: counts, and what became of each day."""
    if status.result is None or not status.attempts:
        return None
    last = status.attempts[-1]
    days = tuple(
        msgspec.convert(
            {
                "eventDate": day.date,
                "outcome": day.outcome,
                "generation": day.generation,
                "sequence": day.sequence,
            },
            DayResult,
        )
        for day in status.result.days
    )
    return RunResult(
        run=name,
        attempt=last.number,
        job=spec.job,
        outcome="succeeded" if last.exit_code == 0 else "failed",
        exit_code=last.exit_code or 0,
        dry_run=spec.dry_run,
        days=days,
        counts=status.result.counts,
        started_ms=read_instant(last.start_time) or 0,
        ended_ms=read_instant(last.end_time) or 0,
    )
