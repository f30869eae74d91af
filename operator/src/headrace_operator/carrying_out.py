"""Carries the actions of a plan out, in their order, and says what was learned where one could not be.

Every step can be repeated: creations adopt what an earlier try has left, deletions accept that the object is gone. Errors that
only time mends (no answer, throttling, a stale version) are the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from headrace_core.clock import Clock
from headrace_core.errors import HeadraceError
from headrace_operator.actions import (
    Action,
    CancelRun,
    Conflict,
    CreateConfigMap,
    CreateDriver,
    DeleteDriver,
    DeleteRun,
    DryRunExecutor,
    EmitEvent,
    Facts,
    Refusal,
    RefusalKind,
    RemoveDriverFinalizer,
    SweepExecutors,
    WriteStatus,
)
from headrace_operator.cluster_view import ClusterView
from headrace_operator.event_log import EventLog
from headrace_operator.names import selector_text
from headrace_operator.observed import ObservedRun, controller_uid
from headrace_operator.token_bucket import TokenBucket
from headrace_runtime.errors_kubernetes import (
    AdmissionRefused,
    ApiDenied,
    KubernetesUnavailable,
    NamespaceEnding,
    ObjectAbsent,
    ObjectExists,
    ObjectInvalid,
    QuotaExceeded,
)
from headrace_runtime.ports_kubernetes import (
    CONFIG_MAPS,
    PIPELINE_RUNS,
    PODS,
    Json,
    KubernetesApi,
    ResourceKind,
)

__all__ = ["ActionCarrier", "refusal_of"]

_REFUSALS: dict[type[HeadraceError], RefusalKind] = {
    ApiDenied: "rbac",
    QuotaExceeded: "quota",
    AdmissionRefused: "admission",
    ObjectInvalid: "invalid",
}


class ActionCarrier:
    """Turns actions into calls. The answers go to the view at once, so that the next plan knows of them."""

    def __init__(
        self,
        api: KubernetesApi,
        view: ClusterView,
        clock: Clock,
        *,
        namespace: str,
        creations: TokenBucket,
        events: EventLog,
        notify: Callable[[str], None],
    ) -> None:
        self._api = api
        self._view = view
        self._clock = clock
        self._namespace = namespace
        self._creations = creations
        self._events = events
        self._notify = notify

    async def carry_out(self, run: ObservedRun, actions: tuple[Action, ...]) -> Facts | None:
        """All actions, in order; None where all were carried out, else what was learned from the one that was not."""
        for action in actions:
            try:
                learned = await self._one(run, action)
            except NamespaceEnding:
                return Facts(namespace_ending=True)
            except tuple(_REFUSALS) as error:
                return Facts(refusal=refusal_of(error, action))
            if learned is not None:
                return learned
        return None

    async def _one(self, run: ObservedRun, action: Action) -> Facts | None:
        match action:
            case WriteStatus():
                await self._write_status(run, action)
            case DryRunExecutor(manifest=manifest):
                await self._api.create(PODS, self._namespace, dict(manifest), dry_run=True)
            case CreateConfigMap(manifest=manifest):
                return await self._create(run, CONFIG_MAPS, "ConfigMap", manifest)
            case CreateDriver(manifest=manifest):
                await asyncio.sleep(self._creations.take(self._clock.monotonic_s()))
                return await self._create(run, PODS, "Pod", manifest)
            case DeleteDriver() | SweepExecutors() | DeleteRun():
                await self._delete(run, action)
            case RemoveDriverFinalizer():
                await self.release(run.name, action)
            case CancelRun(name=name):
                await self._cancel(run, name)
            case EmitEvent():
                await self._events.emit(run, action)
        return None

    async def _write_status(self, run: ObservedRun, action: WriteStatus) -> None:
        written = await self._api.replace_status(
            PIPELINE_RUNS,
            self._namespace,
            run.name,
            dict(action.status),
            resource_version=action.resource_version,
        )
        self._saw(run, written)

    def _saw(self, run: ObservedRun, body: Json) -> None:
        """Other runs may have waited for this; the run itself is planned again anyway."""
        for name in self._view.saw_run(body) - {run.name}:
            self._notify(name)

    async def _create(
        self, run: ObservedRun, kind: ResourceKind, name: str, manifest: Mapping[str, Any]
    ) -> Facts | None:
        try:
            made = await self._api.create(kind, self._namespace, dict(manifest))
        except ObjectExists:
            made = await self._found(kind, manifest["metadata"]["name"])
            metadata = made["metadata"]
            if controller_uid(metadata) != run.uid:
                ending = "deletionTimestamp" in metadata
                return Facts(conflict=Conflict(name, metadata["name"], terminating=ending))
        if kind is PODS:
            self._view.saw_pod(made)
        return None

    async def _found(self, kind: ResourceKind, name: str) -> Json:
        """What has the name of a child."""
        try:
            return await self._api.get(kind, self._namespace, name)
        except ObjectAbsent as error:
            raise KubernetesUnavailable(
                f"{name} was there and is gone.",
                why="It was deleted between two calls.",
                fix="It is created at the next try.",
                code="child_gone",
            ) from error

    async def _delete(self, run: ObservedRun, action: DeleteDriver | SweepExecutors | DeleteRun) -> None:
        try:
            match action:
                case DeleteDriver(name=name, uid=uid, grace_s=grace_s):
                    await self._api.delete(PODS, self._namespace, name, uid=uid, grace_s=grace_s)
                case SweepExecutors(labels=labels):
                    await self._api.delete_many(PODS, self._namespace, labels=selector_text(labels))
                case DeleteRun(uid=uid, resource_version=version):
                    await self._api.delete(
                        PIPELINE_RUNS, self._namespace, run.name, uid=uid, resource_version=version
                    )
        except ObjectAbsent:
            return

    async def release(self, run: str, action: RemoveDriverFinalizer) -> None:
        """Let a driver pod of the run of that name go. Raises StaleObject where it has changed."""
        metadata = {
            "uid": action.uid,
            "resourceVersion": action.resource_version,
            "finalizers": list(action.finalizers) or None,
        }
        try:
            patched = await self._api.patch(PODS, self._namespace, action.name, {"metadata": metadata})
        except ObjectAbsent:
            self._view.lost_pod(run, action.name, action.uid)
            return
        self._view.saw_pod(patched)

    async def _cancel(self, run: ObservedRun, name: str) -> None:
        try:
            patched = await self._api.patch(PIPELINE_RUNS, self._namespace, name, {"spec": {"cancel": True}})
        except ObjectAbsent:
            return
        self._saw(run, patched)


def refusal_of(error: HeadraceError, action: Action) -> Refusal:
    """What a refused call means for a plan."""
    kind = next(kind for known, kind in _REFUSALS.items() if isinstance(error, known))
    if isinstance(action, DryRunExecutor):
        what = "executor"
    elif isinstance(error, ApiDenied) and error.verb:
        what = f"{error.verb} {error.resource}"
    else:
        what = _WHAT[type(action)]
    return Refusal(what, kind, error.why or error.what)


_WHAT: dict[type[Action], str] = {
    WriteStatus: "patch pipelineruns/status",
    CreateConfigMap: "create configmaps",
    CreateDriver: "create pods",
    DeleteDriver: "delete pods",
    SweepExecutors: "deletecollection pods",
    RemoveDriverFinalizer: "patch pods",
    CancelRun: "patch pipelineruns",
    DeleteRun: "delete pipelineruns",
    EmitEvent: "create events",
}
