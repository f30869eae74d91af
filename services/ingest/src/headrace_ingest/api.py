"""Everything that is not a hot path: what the service is, health, metrics, API description, and answers to wrong paths."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Send

from headrace_ingest.answers import Answer, refusal_answer
from headrace_ingest.api_description import describe_hot_paths
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_ingest.routes import route_of
from headrace_ingest.tally import Tally
from headrace_runtime.admin_http import ADMIN_PATHS, AsgiApp, Message, admin_app
from headrace_runtime.health import Health
from headrace_runtime.telemetry import Telemetry

__all__ = ["build_api"]


def build_api(health: Health, telemetry: Telemetry, tally: Tally, version: str) -> FastAPI:
    """The FastAPI app behind the switch."""
    app = FastAPI(title="Headrace ingest", version=version, docs_url=None, redoc_url=None)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        return describe_hot_paths(described())

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the description
    app.add_exception_handler(HTTPException, _problem)
    admin = admin_app(health, telemetry)
    for path in ADMIN_PATHS:
        app.router.routes.append(Route(path, _AdminEndpoint(admin, tally), methods=["GET", "HEAD"]))

    @app.get("/", summary="What this is")
    def about() -> JSONResponse:
        return JSONResponse(
            {"service": "headrace-ingest", "version": version, "description": "/openapi.json"}
        )

    return app


class _AdminEndpoint:
    """The admin app as an endpoint, with the counts of the last second handed over first."""

    def __init__(self, admin: AsgiApp, tally: Tally) -> None:
        self._admin, self._tally = admin, tally

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._tally.flush()
        await self._admin(scope, receive, send)


async def _problem(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405 as problems of ours; a hot path takes POST only."""
    assert isinstance(error, HTTPException)
    is_wrong_method = error.status_code == 405 or route_of(request.url.path) is not None
    code = RefusalCode.METHOD_NOT_ALLOWED if is_wrong_method else RefusalCode.UNKNOWN_PATH
    answer = refusal_answer(Refusal(code), "native", "")
    headers = {"allow": "POST"} if is_wrong_method else {}
    return _response(answer, headers)


def _response(answer: Answer, headers: dict[str, str]) -> Response:
    return Response(answer.body, answer.status, headers, media_type=answer.content_type.decode("ascii"))
