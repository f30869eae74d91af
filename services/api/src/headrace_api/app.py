"""The HTTP interface: look-ups and counts as JSON, and the console page that shows both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from headrace_api.census import Census
from headrace_api.ends import LogEnds
from headrace_api.live import LiveTail
from headrace_api.problems import problem_of
from headrace_api.xray import Tracer
from headrace_core.errors import HeadraceError
from headrace_runtime.admin_http import ADMIN_PATHS, AsgiApp
from headrace_runtime.telemetry import Telemetry

__all__ = ["create_app", "with_admin"]

_HERE = Path(__file__).parent
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def create_app(
    census: Census,
    ends: LogEnds,
    tracer: Tracer,
    live: LiveTail,
    telemetry: Telemetry,
    *,
    runs: APIRouter | None = None,
) -> FastAPI:
    """The API over its parts; with ``runs`` it works with PipelineRuns too."""
    app = FastAPI(title="Headrace API", version="1", docs_url="/docs", redoc_url=None)

    @app.exception_handler(HeadraceError)
    async def refuse(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HeadraceError)
        return problem_of(error)

    if runs is not None:
        app.include_router(runs)

    @app.get("/v1/counts", summary="What became of every record, and whether all parts agree")
    async def counts(minutes: Annotated[int, Query(ge=1, le=1440)] = 60) -> Response:
        current = await ends.known()
        telemetry.count("headrace_api_requests_total", route="counts", status="200")
        return _json(census.counts(minutes, current=current))

    @app.get("/v1/events/{identifier}", summary="The way of one event, by receipt, event id or dedup id")
    async def event(identifier: str, source: str | None = None) -> Response:
        known = (source,) if source else tuple(live.sources)
        result = await tracer.trace(identifier, known)
        status = 200 if result.found else 404
        telemetry.count("headrace_api_requests_total", route="events", status=str(status))
        return _json(result, status)

    @app.get("/v1/live", summary="The newest raw records with their verdicts")
    async def newest() -> Response:
        telemetry.count("headrace_api_requests_total", route="live", status="200")
        return _json(live.newest())

    @app.get("/", include_in_schema=False)
    async def console() -> HTMLResponse:
        page = (_HERE / "static" / "console.html").read_text(encoding="utf-8")
        return HTMLResponse(page, headers=_PAGE_HEADERS)

    @app.get("/static/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        path = _HERE / "static" / name
        if path.parent != _HERE / "static" or path.suffix not in {".js", ".css"} or not path.is_file():
            return Response("There is no such file.\n", 404, media_type="text/plain")
        return FileResponse(path, headers=_PAGE_HEADERS)

    return app


def with_admin(app: AsgiApp, admin: AsgiApp) -> AsgiApp:
    """Health and metrics beside the API, without its routing."""

    async def switch(scope: Any, receive: Any, send: Any) -> None:
        chosen = admin if scope["type"] == "http" and scope["path"] in ADMIN_PATHS else app
        await chosen(scope, receive, send)

    return switch
