"""The small HTTP interface of every process: /livez, /readyz and /metrics, as an ASGI app and as a server for workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn

from headrace_core.errors import ConfigurationError
from headrace_runtime.health import Health
from headrace_runtime.telemetry import METRICS_CONTENT_TYPE, Telemetry

__all__ = ["ADMIN_PATHS", "AsgiApp", "QuietServer", "admin_app", "admin_server", "listen", "serve"]

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

ADMIN_PATHS = ("/livez", "/readyz", "/metrics")


class QuietServer(uvicorn.Server):
    """A uvicorn server inside a process that has its own signal handling (headrace_runtime.process)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield


def admin_app(health: Health, telemetry: Telemetry) -> AsgiApp:
    """The ASGI app that answers ADMIN_PATHS."""

    def answer(path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            telemetry.gauge("headrace_ready", float(health.ready))
            return 200, METRICS_CONTENT_TYPE, telemetry.exposition()
        if path == "/livez":
            stuck = health.stuck()
            return (
                (503 if stuck else 200),
                "application/json",
                json.dumps({"alive": not stuck, "stuck": stuck}).encode(),
            )
        if path == "/readyz":
            return (200 if health.ready else 503), "application/json", json.dumps(_readiness(health)).encode()
        return 404, "text/plain", b"This process answers /livez, /readyz and /metrics.\n"

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = answer(scope["path"])
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _readiness(health: Health) -> dict[str, object]:
    components = [
        {
            "name": component.name,
            "ok": component.ok,
            "since": datetime.fromtimestamp(component.since_ms / 1000, UTC).isoformat(timespec="seconds"),
            "reason": component.reason,
        }
        for component in health.components
    ]
    return {"ready": health.ready, "components": components}


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; ConfigurationError where the address cannot be had. Port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}.",
            why=str(error),
            fix="Set HEADRACE_HTTP_PORT to a free port, or stop the process that holds this one.",
            code="address_in_use",
        ) from error
    return listener


@asynccontextmanager
async def serve(
    config: uvicorn.Config, listener: socket.socket, *, grace_s: float
) -> AsyncIterator[QuietServer]:
    """Run a server for the time of the context; it ends within ``grace_s``, cutting connections that are left."""
    server = QuietServer(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  (uvicorn tells by an attribute alone)
            await asyncio.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        done, _ = await asyncio.wait([task], timeout=grace_s)
        if not done:
            server.force_exit = True
            await asyncio.wait([task], timeout=1.0)
        listener.close()


@asynccontextmanager
async def admin_server(host: str, port: int, health: Health, telemetry: Telemetry) -> AsyncIterator[None]:
    """/livez, /readyz and /metrics of a worker."""
    config = uvicorn.Config(
        admin_app(health, telemetry),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=5,
    )
    async with serve(config, listen(host, port), grace_s=1.0):
        yield
