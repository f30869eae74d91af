"""What `headrace_operator.planning.plan` may ask for. Values without behaviour: the edges carry them out, in their order.

Every action can be repeated, and whoever carries them out may stop after any of them. One that fails ends the sequence:
the run is read and planned again, with what was learned as `Facts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "Action",
    "CancelRun",
    "Conflict",
    "CreateConfigMap",
    "CreateDriver",
    "DeleteDriver",
    "DeleteRun",
    "DryRunExecutor",
    "EmitEvent",
    "Facts",
    "Plan",
    "Refusal",
    "RefusalKind",
    "RemoveDriverFinalizer",
    "SweepExecutors",
    "WriteStatus",
]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Replace the status by ``status``, whole, where the run still has this resource version. 409: plan again."""

    status: Mapping[str, Any]
    resource_version: str


@dataclass(frozen=True, slots=True)
class DryRunExecutor:
    """Create this pod with dryRun=All. What refuses it is a `Refusal` of ``executor``."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CreateConfigMap:
    """Create it. 409: adopted where its controller has the run's uid, else a `Conflict`."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CreateDriver:
    """Create the driver pod. 409: adopted where its controller has the run's uid, else a `Conflict`."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class DeleteDriver:
    """Delete the pod, with its uid as precondition; the container gets SIGTERM and ``grace_s`` seconds. 404 is fine."""

    name: str
    uid: str
    grace_s: int


@dataclass(frozen=True, slots=True)
class SweepExecutors:
    """Delete the collection of pods with all these labels."""

    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RemoveDriverFinalizer:
    """Take ``finalizer`` off the pod, where it still has this resource version. 404 is fine; 409: plan again.

    ``finalizers`` are those that stay.
    """

    name: str
    uid: str
    resource_version: str
    finalizer: str
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Set ``spec.cancel`` of another run of the namespace. 404 is fine."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete the run itself in the background, with uid and resource version as preconditions. 404 is fine."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """A Kubernetes Event about the run. Best effort: its failure ends nothing."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Action = (
    WriteStatus
    | DryRunExecutor
    | CreateConfigMap
    | CreateDriver
    | DeleteDriver
    | SweepExecutors
    | RemoveDriverFinalizer
    | CancelRun
    | DeleteRun
    | EmitEvent
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions, in order, and when to plan again even if nothing changes.

    ``read_live``: do nothing of this but list the run's pods at the API server, and plan again with `Facts.pods_live`.
    """

    actions: tuple[Action, ...] = ()
    requeue_at_ms: int | None = None
    read_live: bool = False


RefusalKind = Literal["rbac", "quota", "admission", "invalid"]
"""403 without a right; 403 for want of quota; 403 by another admission check; 400 or 422."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server refused a call. ``what`` is verb and resource, such as ``create pods``, or ``executor`` for its dry run."""

    what: str
    kind: RefusalKind
    message: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """An object that is not the run's has the name of a child. ``terminating``: it is being deleted."""

    kind: str
    name: str
    terminating: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What the edges learned since the last plan of this reconciliation.

    ``pods_live``: the pods were listed at the API server, not in an index. ``namespace_ending``: nothing can be created.
    """

    pods_live: bool = False
    namespace_ending: bool = False
    conflict: Conflict | None = None
    refusal: Refusal | None = None
