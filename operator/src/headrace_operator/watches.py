"""The watches: kopf lists and follows runs and their pods; its handlers only tell the view and enqueue a key.

Indexing handlers see every object before any event is handled, so nothing is planned on half a view. Kopf keeps nothing on
the objects, posts no events, and has no peers: one Lease of our own says who works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import kopf

from headrace_core.clock import Clock
from headrace_operator.cluster_view import ClusterView
from headrace_operator.names import GROUP, MANAGED_BY, MANAGED_BY_LABEL, PLURAL, RUN_LABEL, VERSION
from headrace_runtime.kubernetes_connection import CONNECT_S, KubernetesConnection

__all__ = ["WatchAge", "Watches"]

_log = logging.getLogger(__name__)

_SERVER_TIMEOUT_S = 100
"""A watch is asked for anew at least this often: one that stays silent longer than that has died."""

_REQUEST_S = 30.0
_IDLE_WORKER_S = 0.1
_PAGE = 500
_END_S = 5.0


class WatchAge:
    """When each watch last gave a sign of life: an event, or a request that was answered.

    ``began`` is set once every watch has begun, ``listed`` whenever a resource was listed.
    """

    def __init__(self, clock: Clock, resources: tuple[str, ...]) -> None:
        self._clock = clock
        self._resources = resources
        self._seen_s: dict[str, float] = {}
        self._waited_for = set(resources)
        self.began = asyncio.Event()
        self.listed = asyncio.Event()

    def start(self) -> None:
        """Silence counts from now on; a process that waits for the Lease watches nothing."""
        self._seen_s = dict.fromkeys(self._resources, self._clock.monotonic_s())

    def seen(self, resource: str) -> None:
        """A watch has spoken."""
        self._seen_s[resource] = self._clock.monotonic_s()

    def ages_s(self) -> dict[str, float]:
        """Seconds of silence by resource."""
        now_s = self._clock.monotonic_s()
        return {resource: now_s - seen_s for resource, seen_s in self._seen_s.items()}

    def answered(self, _method: str, request: aiohttp.ClientRequest, status: int) -> None:
        """Hears of every answer to kopf: a list or watch that was accepted is a sign of life."""
        resource = request.url.path.rpartition("/")[2]
        if status != 200 or resource not in self._seen_s:
            return
        self.seen(resource)
        if "watch" not in request.url.query:
            self.listed.set()
            return
        self._waited_for.discard(resource)
        if not self._waited_for:
            self.began.set()


class Watches:
    """Kopf, set up and run."""

    def __init__(
        self,
        connection: KubernetesConnection,
        view: ClusterView,
        age: WatchAge,
        *,
        enqueue: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._view = view
        self._age = age
        self._enqueue = enqueue

    async def run(self, on_started: Callable[[], None]) -> None:
        """Watch until cancelled; a failure of kopf itself ends it. ``on_started`` is called once kopf took the signals.

        Kopf's own `operator` would in the end cancel every task of the loop that it does not know; only its root tasks are
        ended here.
        """
        self._age.start()
        roots = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
            standalone=True,
            namespaces=[self._connection.namespace],
        )
        on_started()
        try:
            done, _ = await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in roots:
                task.cancel()
            await asyncio.wait(roots, timeout=_END_S)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        pods = {MANAGED_BY_LABEL: MANAGED_BY}
        kopf.on.login(registry=registry)(self._login)
        kopf.index(GROUP, VERSION, PLURAL, registry=registry, id="runs")(self._index_run)
        kopf.index("", "v1", "pods", labels=pods, registry=registry, id="pods")(self._index_pod)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="run")(self._on_run)
        kopf.on.event("", "v1", "pods", labels=pods, registry=registry, id="pod")(self._on_pod)
        return registry

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        """A session of its own: kopf closes it."""
        session = self._connection.session(on_answer=self._age.answered)
        return kopf.AiohttpSession(
            server=self._connection.server,
            default_namespace=self._connection.namespace,
            aiohttp_session=session,
        )

    async def _index_run(self, body: kopf.Body, **_: Any) -> None:
        for name in self._view.saw_run(dict(body)):
            self._enqueue(name)

    async def _index_pod(self, body: kopf.Body, **_: Any) -> None:
        for name in self._view.saw_pod(dict(body)):
            self._enqueue(name)

    async def _on_run(self, event: kopf.RawEvent, **_: Any) -> None:
        self._age.seen(PLURAL)
        metadata = event["object"]["metadata"]
        if event["type"] == "DELETED":
            for name in self._view.lost_run(metadata["name"], metadata["uid"]):
                self._enqueue(name)

    async def _on_pod(self, event: kopf.RawEvent, **_: Any) -> None:
        self._age.seen("pods")
        metadata = event["object"]["metadata"]
        if event["type"] == "DELETED":
            run = metadata["labels"].get(RUN_LABEL, "")
            for name in self._view.lost_pod(run, metadata["name"], metadata["uid"]):
                self._enqueue(name)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # the process has a grace period of its own
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.watching.server_timeout = _SERVER_TIMEOUT_S
    settings.watching.client_timeout = _SERVER_TIMEOUT_S + _REQUEST_S
    settings.watching.chunk_size = _PAGE
    settings.watching.label_selectors["", "v1", "pods"] = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
    settings.networking.request_timeout = _REQUEST_S
    settings.networking.connect_timeout = CONNECT_S
    settings.queueing.idle_timeout = _IDLE_WORKER_S
    return settings
