"""The wire guard: uvicorn's HTTP protocol with bounds on headers and on the time in which a request must arrive.

uvicorn bounds neither. Deadlines are attributes that one sweep a second compares, since a timer per request would cost
more than the rest of this class.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from headrace_ingest.answers import Answer, refusal_answer
from headrace_ingest.limits import HEADER_LIMIT_BYTES
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_ingest.tally import Tally

__all__ = ["GuardedProtocol", "response_bytes", "sweep"]

_LINGER_S = 1.0


def response_bytes(answer: Answer, *, close: bool) -> bytes:
    """A whole HTTP/1.1 response."""
    parts = [
        STATUS_LINE[answer.status],
        b"content-type: ",
        answer.content_type,
        b"\r\ncontent-length: %d\r\n" % len(answer.body),
    ]
    if answer.request_id:
        parts.append(b"x-request-id: %s\r\n" % answer.request_id.encode("ascii"))
    if answer.retry_after_s:
        parts.append(b"retry-after: %d\r\n" % answer.retry_after_s)
    if close:
        parts.append(b"connection: close\r\n")
    parts.append(b"\r\n")
    parts.append(answer.body)
    return b"".join(parts)


class GuardedProtocol(HttpToolsProtocol):
    """One connection. ``receive_by`` is the loop time by which the current request, or the next one, must have come.

    A subclass decides who takes a request; it calls ``note_begin`` and ``headers_fit`` from the parser's callbacks.
    """

    tally: Tally
    body_deadline_s: float

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.receive_by: float | None = None
        self._header_bytes = 0
        self._chunk_bytes = 0
        self._in_headers = False
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; it has a while to send a request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it the same way
        self.receive_by = self.loop.time() + self.body_deadline_s

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._refused:
            return
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self._in_headers and not self._refused:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_LIMIT_BYTES:
                self.refuse(RefusalCode.HEADERS_TOO_LARGE)

    def note_begin(self) -> None:
        """A request starts: its header section is bounded in size and time."""
        self._in_headers, self._header_bytes = True, 0
        self.receive_by = self.loop.time() + self.body_deadline_s

    def headers_fit(self) -> bool:
        """The header section is whole; whether the request may go on. A connection refused before takes no more."""
        self._in_headers = False
        if self._refused:
            return False
        if self._header_bytes + self._chunk_bytes > HEADER_LIMIT_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEADER_LIMIT_BYTES:
                self.refuse(RefusalCode.HEADERS_TOO_LARGE)
                return False
        self.receive_by = self.loop.time() + self.body_deadline_s
        return True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.receive_by = None
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser found something that is not HTTP, or contradicts itself."""
        self.refuse(RefusalCode.MALFORMED_REQUEST)

    def end_if_late(self, now: float) -> None:
        """Close the connection where its request did not come in time, or its sender does not go after a refusal."""
        if self.receive_by is None or now < self.receive_by or self.transport.is_closing():
            return
        if self._in_headers and self._header_bytes and not self._refused:
            self.refuse(RefusalCode.SLOW_BODY)
        else:
            self.body_is_late()

    def body_is_late(self) -> None:
        """No request came in time, or not the whole of its body."""
        self.transport.close()

    def refuse(self, code: RefusalCode) -> None:
        """Answer without a request path: nobody knows yet, or any more, what this was to be."""
        self.tally.refused(code.code)
        if not self._may_answer():
            self._refused = True
            self.transport.close()
            return
        answer = refusal_answer(Refusal(code), "native", "")
        self.transport.write(response_bytes(answer, close=True))
        self.close_after_reading()

    def close_after_reading(self) -> None:
        """End the connection while its sender may still be sending.

        Closed at once it would be reset, and the sender would never read why. So what comes is dropped until the sender
        goes, or for a moment.
        """
        self._refused = True
        self.transport.write_eof()
        self.receive_by = self.loop.time() + _LINGER_S

    def _may_answer(self) -> bool:
        """Whether an answer now would be taken for that of the request at fault, and not of one before it."""
        cycle: RequestResponseCycle | None = self.cycle
        if self.pipeline:
            return False
        return cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)


def sweep(state: ServerState, now: float) -> None:
    """End the connections whose requests are late."""
    for connection in list(state.connections):
        if isinstance(connection, GuardedProtocol):
            connection.end_if_late(now)
