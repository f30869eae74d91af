"""Kubernetes Events about runs: the same news twice is one Event with a count."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from datetime import UTC, datetime

from headrace_core.clock import Clock
from headrace_core.errors import HeadraceError
from headrace_operator.actions import EmitEvent
from headrace_operator.names import API_VERSION, KIND, MANAGED_BY
from headrace_operator.observed import ObservedRun
from headrace_runtime.errors_kubernetes import ObjectExists
from headrace_runtime.ports_kubernetes import EVENTS, Json, KubernetesApi

__all__ = ["EventLog", "event_of"]

_log = logging.getLogger(__name__)
_REMEMBERED = 4_096
_MOST_TEXT = 1_024


class EventLog:
    """Writes Events. Their loss ends nothing: the truth is the status."""

    def __init__(self, api: KubernetesApi, clock: Clock, namespace: str, instance: str) -> None:
        self._api = api
        self._clock = clock
        self._namespace = namespace
        self._instance = instance
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def emit(self, run: ObservedRun, action: EmitEvent) -> None:
        """Write an Event, or raise the count of the one that says the same."""
        body = event_of(run, action, self._namespace, self._instance, self._clock.now_ms())
        name = body["metadata"]["name"]
        count = self._counts[name] = self._counts.get(name, 0) + 1
        self._counts.move_to_end(name)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        try:
            if count == 1:
                await self._api.create(EVENTS, self._namespace, body)
            else:
                await self._again(name, body, count)
        except ObjectExists:
            await self._again(name, body, count + 1)
        except HeadraceError as error:
            _log.warning("An Event was not written.", extra={"event": action.reason, "why": str(error)})

    async def _again(self, name: str, body: Json, count: int) -> None:
        self._counts[name] = count
        patch = {"count": count, "lastTimestamp": body["lastTimestamp"]}
        try:
            await self._api.patch(EVENTS, self._namespace, name, patch)
        except HeadraceError as error:
            _log.warning("An Event was not counted.", extra={"event": name, "why": str(error)})


def event_of(run: ObservedRun, action: EmitEvent, namespace: str, instance: str, now_ms: int) -> Json:
    """The Event, under a name that says what it says, so that the same news has the same name."""
    said = f"{run.uid}\0{action.type}\0{action.reason}\0{action.message}".encode()
    moment = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": f"{run.name}.{hashlib.sha256(said).hexdigest()[:16]}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": namespace,
            "name": run.name,
            "uid": run.uid,
        },
        "type": action.type,
        "reason": action.reason,
        "message": action.message[:_MOST_TEXT],
        "source": {"component": MANAGED_BY},
        "reportingComponent": MANAGED_BY,
        "reportingInstance": instance,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
