"""The outermost ASGI callable: hot paths go straight to the intake, everything else to FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from headrace_ingest.answers import Answer
from headrace_ingest.intake import Intake, Request
from headrace_ingest.limits import WIRE_LIMIT_BYTES
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_ingest.routes import route_of
from headrace_runtime.admin_http import AsgiApp, Message

__all__ = ["Switch"]

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _SenderGone(Exception):
    """The connection ended before the request did."""


class Switch:
    """Routes by path before any framework sees the request."""

    def __init__(self, intake: Intake, rest: AsgiApp, *, body_deadline_s: float) -> None:
        self._intake, self._rest, self._body_deadline_s = intake, rest, body_deadline_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or one lifespan."""
        if scope["type"] == "http" and scope["method"] == "POST":
            route = route_of(scope["path"])
            if route is not None:
                client = scope["client"]
                request = self._intake.begin(route, dict(scope["headers"]), client[0] if client else None)
                await self._take(request, receive, send)
                return
        await self._rest(scope, receive, send)

    async def _take(self, request: Request, receive: Receive, send: Send) -> None:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            body = await self._body(request, receive)
        except Refusal as refusal:
            self._intake.refuse(request, refusal, answered.set_result)
        except _SenderGone:
            request.ticket.release()
            return
        else:
            self._intake.submit(request, body, answered.set_result)
        # Bounded: the intake answers by its acknowledgement deadline.
        await _respond(await answered, send)

    async def _body(self, request: Request, receive: Receive) -> bytes:
        """The body, bounded while it comes. Raises Refusal, _SenderGone."""
        declared = request.headers.get(b"content-length")
        if declared is not None and int(declared) > WIRE_LIMIT_BYTES:
            raise Refusal(RefusalCode.BODY_TOO_LARGE)
        try:
            async with asyncio.timeout(self._body_deadline_s):
                return await _received(request, receive)
        except TimeoutError as error:
            raise Refusal(RefusalCode.SLOW_BODY) from error


async def _received(request: Request, receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _SenderGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > WIRE_LIMIT_BYTES:
            raise Refusal(RefusalCode.BODY_TOO_LARGE)
        request.ticket.grow_to(size)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _respond(answer: Answer, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        (b"x-request-id", answer.request_id.encode()),
    ]
    if answer.retry_after_s:
        headers.append((b"retry-after", b"%d" % answer.retry_after_s))
    if answer.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
