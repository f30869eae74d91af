"""The fast lane: requests on hot paths go from the parser to the intake without scope, task, receive and send.

It stands on uvicorn's own protocol class and falls back to it for everything unusual: other paths, query strings, Expect,
Upgrade, pipelined requests, a sender that does not read its answers. A hot request takes the place of uvicorn's cycle,
so that order, shutdown and connection loss stay uvicorn's business. uvicorn is pinned by the lock; tests/integration/
ingest/test_wire.py holds what this class relies on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from headrace_ingest.answers import Answer
from headrace_ingest.intake import Intake, Request
from headrace_ingest.limits import WIRE_LIMIT_BYTES
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_ingest.routes import HOT_PATHS
from headrace_ingest.tally import Tally
from headrace_ingest.wire_guard import GuardedProtocol, response_bytes

__all__ = ["FastLaneProtocol", "fast_lane_protocol"]

_HOT = {path.encode(): route for path, route in HOT_PATHS.items()}
_BODY_GRACE_S = 2.0


class _NoEvent:
    """Stands for the event that wakes a cycle's task: a hot request has no task."""

    def set(self) -> None:
        """Nobody waits."""


class _HotCycle:
    """A hot request in the place of uvicorn's RequestResponseCycle: the attributes that its protocol looks at."""

    __slots__ = (
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "parts",
        "request",
        "response_complete",
        "response_started",
        "size",
    )

    def __init__(self, request: Request, *, keep_alive: bool) -> None:
        self.request, self.keep_alive = request, keep_alive
        self.parts: list[bytes] = []
        self.size = 0
        self.more_body = True
        self.disconnected = self.response_started = self.response_complete = False
        self.message_event = _NoEvent()


class FastLaneProtocol(GuardedProtocol):
    """One connection whose hot requests bypass ASGI."""

    intake: Intake
    keep_alive_s: float
    connection_limit: int

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._hot: _HotCycle | None = None
        """The hot request whose body is being received."""

    def on_message_begin(self) -> None:
        """A request starts; its scope is made only where uvicorn needs one."""
        self.note_begin()
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The header section is whole: this lane, or uvicorn's."""
        if not self.headers_fit():
            return
        if len(self.connections) > self.connection_limit:
            self.refuse(RefusalCode.OVERLOADED)
            return
        route = _HOT.get(self.url)
        if route is not None and self.parser.get_method() == b"POST" and self._is_free():
            headers = dict(self.headers)
            if b"expect" not in headers and b"upgrade" not in headers:
                self._begin(self.intake.begin(route, headers, self.client[0] if self.client else None))
                return
        self._hand_over()

    def _is_free(self) -> bool:
        """Whether an answer written now is the next one that the sender waits for, and the sender reads answers."""
        cycle: RequestResponseCycle | None = self.cycle
        is_idle = cycle is None or cycle.response_complete
        return is_idle and not self.pipeline and not self.flow.write_paused

    def _begin(self, request: Request) -> None:
        hot = _HotCycle(request, keep_alive=self.parser.should_keep_alive())
        self.cycle = hot  # type: ignore[assignment]  # see _HotCycle
        self._hot = hot
        declared = request.headers.get(b"content-length")
        if declared is not None and int(declared) > WIRE_LIMIT_BYTES:
            self._refuse_hot(hot, RefusalCode.BODY_TOO_LARGE)

    def _hand_over(self) -> None:
        """Let uvicorn take the request: its scope is made now from what was parsed. The request path behind it answers 408 by
        its own deadline, so the guard waits a little longer."""
        self.receive_by = self.loop.time() + self.body_deadline_s + _BODY_GRACE_S
        url, headers = self.url, self.headers
        HttpToolsProtocol.on_message_begin(self)
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        HttpToolsProtocol.on_headers_complete(self)

    def on_body(self, body: bytes) -> None:
        """A part of a body, counted before it is kept."""
        hot = self._hot
        if hot is None:
            super().on_body(body)
            return
        hot.size += len(body)
        if hot.size > WIRE_LIMIT_BYTES:
            self._refuse_hot(hot, RefusalCode.BODY_TOO_LARGE)
            return
        try:
            hot.request.ticket.grow_to(hot.size)
        except Refusal as refusal:
            self._refuse_hot(hot, refusal.code)
            return
        hot.parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        hot, self._hot = self._hot, None
        if hot is None:
            super().on_message_complete()
            return
        self.receive_by = None
        hot.more_body = False
        parts = hot.parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        hot.parts = []
        self.intake.submit(hot.request, body, lambda answer: self._respond(hot, answer))

    def connection_lost(self, exc: Exception | None) -> None:
        """The sender went; what it had sent of a request is given up."""
        hot, self._hot = self._hot, None
        if hot is not None:
            hot.request.ticket.release()
        super().connection_lost(exc)

    def body_is_late(self) -> None:
        """The body of the current request did not come in time."""
        if self._hot is None:
            super().body_is_late()
        else:
            self._refuse_hot(self._hot, RefusalCode.SLOW_BODY)

    def _refuse_hot(self, hot: _HotCycle, code: RefusalCode) -> None:
        """Answer before the body is whole; the rest of it is read and dropped until it ends or is late."""
        self._hot = None
        hot.parts = []
        self.intake.refuse(hot.request, Refusal(code), lambda answer: self._respond(hot, answer))

    def _respond(self, hot: _HotCycle, answer: Answer) -> None:
        hot.response_started = hot.response_complete = True
        if hot.disconnected or self.transport.is_closing():
            return
        close = answer.close or not hot.keep_alive
        self.transport.write(response_bytes(answer, close=close))
        if close and hot.more_body:
            self.close_after_reading()
        elif close:
            self.transport.close()
        elif self.pipeline:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            if not hot.more_body:
                self.receive_by = self.loop.time() + self.keep_alive_s


def fast_lane_protocol(
    intake: Intake, tally: Tally, *, body_deadline_s: float, keep_alive_s: float, connection_limit: int
) -> type[FastLaneProtocol]:
    """The protocol class of one server, as uvicorn wants it."""
    settings = {
        "intake": intake,
        "tally": tally,
        "body_deadline_s": body_deadline_s,
        "keep_alive_s": keep_alive_s,
        "connection_limit": connection_limit,
    }
    return type("ServerProtocol", (FastLaneProtocol,), settings)
