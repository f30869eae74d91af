"""What is known of a run and its pods, as small values made from the JSON of Kubernetes. Pure; missing parts are tolerated.

Indexes hold these instead of the objects. Times are in milliseconds since 1970 UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headrace_core.errors import BadData
from headrace_core.instants import read_instant
from headrace_core.pipeline_run import RunSpec, decode_spec
from headrace_core.run_policy import concurrency_key
from headrace_core.run_status import RunStatus, decode_status
from headrace_operator.names import (
    ATTEMPT_LABEL,
    KIND,
    LONGEST_RUN_NAME,
    ROLE_LABEL,
    RUN_LABEL,
    RUN_UID_LABEL,
)

__all__ = [
    "ObservedPod",
    "ObservedRun",
    "Role",
    "Terminated",
    "controller_uid",
    "holders_of",
    "observe_pod",
    "observe_run",
]

Json = Mapping[str, Any]
Role = Literal["driver", "executor"]
_CONTAINERS = {"driver": "spark-kubernetes-driver", "executor": "spark-kubernetes-executor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRun:
    """A PipelineRun. ``spec`` is None where it cannot be understood; ``invalid`` then says why."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    created_ms: int
    deletion_ms: int | None
    finalizers: tuple[str, ...]
    spec: RunSpec | None
    invalid: str
    status: RunStatus

    @property
    def key(self) -> str | None:
        """What only one run works on at a time; None where the spec cannot be understood."""
        return None if self.spec is None else concurrency_key(self.spec)

    @property
    def active(self) -> bool:
        """Whether the run is not over yet, nor being deleted."""
        return not self.status.finished and self.deletion_ms is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """How a container ended. ``message`` is its termination message."""

    exit_code: int
    reason: str
    message: str
    finished_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPod:
    """A driver or executor pod.

    ``run`` and ``run_uid`` are its labels, ``owner_uid`` is its controller's: the run's of a driver, the driver's of an
    executor. ``running_ms``: since when its container runs, None where it does not. ``unschedulable`` and ``waiting``
    (a reason such as ImagePullBackOff) are empty where nothing is wrong, ``waiting_message`` goes with either. ``reason``
    is the pod's own (Evicted, NodeLost), ``disruption`` the reason of a true DisruptionTarget condition.
    """

    name: str
    uid: str
    resource_version: str
    run: str
    run_uid: str
    attempt: int
    role: Role
    owner_uid: str
    created_ms: int
    deletion_ms: int | None
    finalizers: tuple[str, ...]
    phase: str
    node: str
    unschedulable: str
    waiting: str
    waiting_message: str
    running_ms: int | None
    terminated: Terminated | None
    reason: str
    message: str
    disruption: str

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more, or ever will: its container has ended, or it was deleted before it had a
        node."""
        if self.terminated is not None or self.phase in ("Succeeded", "Failed"):
            return True
        return self.deletion_ms is not None and not self.node


def observe_run(body: Json) -> ObservedRun:
    """A PipelineRun from its JSON. BadData where it has no name, or a status that nobody can read."""
    metadata = _metadata(body)
    spec, invalid = _spec(metadata["name"], body.get("spec"))
    return ObservedRun(
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        generation=metadata.get("generation", 0),
        resource_version=metadata.get("resourceVersion", ""),
        created_ms=read_instant(metadata.get("creationTimestamp")) or 0,
        deletion_ms=read_instant(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        spec=spec,
        invalid=invalid,
        status=decode_status(body.get("status")),
    )


def observe_pod(body: Json) -> ObservedPod | None:
    """A driver or executor pod from its JSON; None where its labels say that it is none of ours."""
    metadata = _metadata(body)
    labels = metadata.get("labels") or {}
    attempt, role = labels.get(ATTEMPT_LABEL, ""), labels.get(ROLE_LABEL, "")
    if not labels.get(RUN_LABEL) or not attempt.isascii() or not attempt.isdigit() or role not in _CONTAINERS:
        return None
    status: Json = body.get("status") or {}
    state = _container_state(status, _CONTAINERS[role])
    unscheduled = _condition(status, "PodScheduled", "False")
    waiting: Json = state.get("waiting") or {}
    disrupted = _condition(status, "DisruptionTarget", "True")
    return ObservedPod(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        run=labels[RUN_LABEL],
        run_uid=labels.get(RUN_UID_LABEL, ""),
        attempt=int(attempt),
        role="driver" if role == "driver" else "executor",
        owner_uid=controller_uid(metadata),
        created_ms=read_instant(metadata.get("creationTimestamp")) or 0,
        deletion_ms=read_instant(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        phase=status.get("phase", ""),
        node=(body.get("spec") or {}).get("nodeName") or "",
        unschedulable=unscheduled.get("reason", ""),
        waiting=waiting.get("reason", ""),
        waiting_message=waiting.get("message") or unscheduled.get("message") or "",
        running_ms=_running_ms(state, status),
        terminated=_terminated(state.get("terminated")),
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        disruption=disrupted.get("reason", ""),
    )


def holders_of(run: ObservedRun, others: Sequence[ObservedRun]) -> tuple[str, ...]:
    """Names of active runs that hold the key of ``run``: they have begun, or come before it by age, then by name.

    ``others`` must be as new as the last status that the operator itself has written: an index that lags behind it would
    let two runs of the same second begin.
    """
    mine = (run.created_ms, run.name)
    return tuple(
        sorted(
            other.name
            for other in others
            if other.uid != run.uid
            and other.active
            and other.namespace == run.namespace
            and other.key == run.key
            and (other.status.attempts or (other.created_ms, other.name) < mine)
        )
    )


def _metadata(body: Json) -> Json:
    metadata: Json = body.get("metadata") or {}
    if not metadata.get("name"):
        raise BadData(
            "An object has no name.",
            why="Every object that the API server stores has one.",
            fix="Report this with the log: it is no object of Kubernetes.",
            code="object_without_name",
        )
    return metadata


def _spec(name: str, spec: object) -> tuple[RunSpec | None, str]:
    """The spec, or None and why it cannot be understood."""
    if len(name) > LONGEST_RUN_NAME or "." in name:
        return None, f"metadata.name is no DNS label of 1 to {LONGEST_RUN_NAME} characters: {name}"
    if not isinstance(spec, Mapping):
        return None, f"a {KIND} has a spec"
    try:
        return decode_spec(json.dumps(spec, default=str).encode()), ""
    except BadData as error:
        return None, error.why
    except RecursionError:
        return None, "it is nested too deeply"


def _container_state(status: Json, name: str) -> Json:
    """The state of the Spark container; of the only one where none has the name."""
    statuses = status.get("containerStatuses") or ()
    chosen = [each for each in statuses if each.get("name") == name] or (
        list(statuses) if len(statuses) == 1 else []
    )
    return (chosen[0].get("state") or {}) if chosen else {}


def _condition(status: Json, kind: str, value: str) -> Json:
    for each in status.get("conditions") or ():
        if each.get("type") == kind and each.get("status") == value:
            return each if isinstance(each, Mapping) else {}
    return {}


def controller_uid(metadata: Json) -> str:
    """The uid of an object's controller, from its metadata; empty where it has none."""
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner.get("uid", ""))
    return ""


def _running_ms(state: Json, status: Json) -> int | None:
    if state.get("running") is None:
        return None
    started = read_instant((state["running"] or {}).get("startedAt"))
    return started if started is not None else read_instant(status.get("startTime")) or 0


def _terminated(state: Json | None) -> Terminated | None:
    if state is None:
        return None
    return Terminated(
        exit_code=state.get("exitCode", 0),
        reason=state.get("reason") or "",
        message=state.get("message") or "",
        finished_ms=read_instant(state.get("finishedAt")),
    )
