"""The fake cluster: its storage, roles and faults, and the socket that it is reached by."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from tests.support.fake_kubernetes.faults import Call, FaultPlan
from tests.support.fake_kubernetes.objects import Json
from tests.support.fake_kubernetes.rbac import Access
from tests.support.fake_kubernetes.resources import RESOURCES, ResourceType
from tests.support.fake_kubernetes.store import Store

__all__ = ["FakeKubernetes", "resource_named"]


def resource_named(plural: str) -> ResourceType:
    """The resource of a plural name."""
    return next(resource for resource in RESOURCES if resource.plural == plural)


class FakeKubernetes:
    """A cluster in the test's process. Clients are told apart by their bearer token."""

    def __init__(
        self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000, history: int = 100_000
    ) -> None:
        self.store = Store(now_ms, history)
        self.access = Access()
        self.faults = FaultPlan()
        self.calls: list[Call] = []
        self.keep_calls = True
        self.bookmark_s = 30.0
        self.latency_s = 0.0
        self.logs: dict[tuple[str, str], bytes] = {}
        self.severed: set[str] = set()
        """Tokens whose process is dead: nothing of it is carried out any more."""
        self.held: set[str] = set()
        """Tokens whose watches stand still, as a stale cache's do."""
        self.watches: dict[asyncio.Task[None], ResourceType] = {}
        self.url = ""
        self._counts: dict[str, int] = {}
        self._sever_at: dict[str, int] = {}
        self._severed_event = asyncio.Event()

    def count(
        self, token: str, verb: str, resource: str, namespace: str, name: str, *, dry_run: bool
    ) -> Call:
        """Remember a call."""
        number = self._counts[token] = self._counts.get(token, 0) + 1
        call = Call(number, token, verb, resource, namespace, name, dry_run)
        if self.keep_calls:
            self.calls.append(call)
        return call

    def calls_of(self, token: str) -> int:
        """How many calls a token has made."""
        return self._counts.get(token, 0)

    def sever_after(self, token: str, calls: int) -> asyncio.Event:
        """The process behind the token dies right after that many calls were carried out: later ones are not, and its
        watches end. The event says that it happened."""
        self._sever_at[token] = calls
        return self._severed_event

    def sever_if_due(self, call: Call) -> None:
        """Called after each call was carried out."""
        if self._sever_at.get(call.token) == call.number:
            self.severed.add(call.token)
            self._severed_event.set()

    def drop_watches(self) -> int:
        """Cut the connections of all watches; how many there were."""
        tasks = list(self.watches)
        for task in tasks:
            task.cancel()
        return len(tasks)

    def compact(self) -> None:
        """Forget all history: a watch that begins below the newest version gets 410."""
        for history in self.store.histories.values():
            history.forget(self.store.version)

    def hold_watches(self, token: str) -> None:
        """Let a client's caches grow stale."""
        self.held.add(token)

    def release_watches(self, token: str) -> None:
        """Let them catch up."""
        self.held.discard(token)
        for history in self.store.histories.values():
            history.wake()

    def objects(self, plural: str, namespace: str = "") -> list[Json]:
        """What exists."""
        return self.store.peek(resource_named(plural), namespace)

    def kubeconfig(self, folder: Path, token: str, namespace: str = "default") -> Path:
        """A KUBECONFIG file of a client."""
        path = folder / f"{token}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
                    "users": [{"name": "fake", "user": {"token": token}}],
                    "contexts": [
                        {
                            "name": "fake",
                            "context": {"cluster": "fake", "user": "fake", "namespace": namespace},
                        }
                    ],
                }
            ),
            encoding="utf-8",
        )
        return path

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[None]:
        """Listen on loopback for the time of the context."""
        from tests.support.fake_kubernetes.server import Server

        runner = web.ServerRunner(web.Server(Server(self).answer), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            self.drop_watches()
            await runner.cleanup()
