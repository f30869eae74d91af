"""PipelineRuns over HTTP: create, look, read logs, run again, cancel. Each answer is the run as it is in the cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response

from headrace_api.run_tokens import RunTokens
from headrace_core.errors import UsageError
from headrace_core.pipeline_run import check_run_name, decode_spec
from headrace_core.run_policy import Run, RunState
from headrace_runtime.cluster_runs import ClusterRuns
from headrace_runtime.telemetry import Telemetry

__all__ = ["RunRequest", "run_routes"]

_LARGEST_BODY_BYTES = 64 * 1024


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for: a spec as `kubectl apply` takes it, and a name, without which one is found."""

    spec: msgspec.Raw
    name: str | None = None


def run_routes(runs: Callable[[], ClusterRuns], tokens: RunTokens, telemetry: Telemetry) -> APIRouter:
    """The routes. ``runs`` raises Unavailable while the cluster is not connected."""

    def authorised(authorization: Annotated[str | None, Header()] = None) -> None:
        tokens.caller(authorization)

    router = APIRouter(prefix="/v1/runs", tags=["runs"], dependencies=[Depends(authorised)])

    def answer(value: Any, route: str, status: int = 200) -> Response:
        telemetry.count("headrace_api_requests_total", route=route, status=str(status))
        return Response(msgspec.json.encode(value), status, media_type="application/json")

    @router.post("", summary="Create a run, or find the one that there is")
    async def create(request: Request) -> Response:
        wanted = _request(await _body(request))
        run, made = await runs().submit(decode_spec(bytes(wanted.spec)), wanted.name)
        return answer(run, "runs", 201 if made else 200)

    @router.get("", summary="Runs, the newest first")
    async def listed(
        state: RunState | None = None,
        job: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        found = [run for run in await runs().all() if _meets(run, state, job)]
        return answer({"runs": found[:limit], "total": len(found)}, "runs")

    @router.get("/{name}", summary="A run and its attempts")
    async def one(name: str) -> Response:
        return answer(await runs().get(check_run_name(name)), "run")

    @router.get("/{name}/logs", summary="What the drivers of a run wrote")
    async def logs(
        name: str,
        attempt: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        parts = await runs().logs(check_run_name(name), attempt)
        text = b"".join(b"==> attempt %d <==\n%s\n" % part for part in parts)
        telemetry.count("headrace_api_requests_total", route="run_logs", status="200")
        return Response(text, media_type="text/plain; charset=utf-8")

    @router.post("/{name}/reruns", summary="The work of a run once more, as a run of its own")
    async def rerun(
        name: str,
        idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    ) -> Response:
        if not idempotency_key:
            raise _key_missing()
        run, made = await runs().rerun(check_run_name(name), idempotency_key)
        return answer(run, "run_reruns", 201 if made else 200)

    @router.post("/{name}/cancel", summary="Ask a run to end")
    async def cancel(name: str) -> Response:
        return answer(await runs().cancel(check_run_name(name)), "run_cancel", 202)

    return router


def _meets(run: Run, state: str | None, job: str | None) -> bool:
    return state in (None, run.state) and job in (None, run.spec.job)


async def _body(request: Request) -> bytes:
    """The body; UsageError where it is larger than any run."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY_BYTES:
            raise UsageError(
                "The request is too large.",
                why=f"A run has at most {_LARGEST_BODY_BYTES} bytes.",
                fix="Send a spec alone.",
                code="run_too_large",
            )
    return bytes(body)


def _request(body: bytes) -> RunRequest:
    try:
        return msgspec.json.decode(body, type=RunRequest)
    except msgspec.MsgspecError as error:
        raise UsageError(
            "The request cannot be understood.",
            why=str(error),
            fix='Send {"spec": {"job": "daily", "date": "2026-11-28"}}, with a name if you like.',
            code="run_request",
        ) from error


def _key_missing() -> UsageError:
    return UsageError(
        "A rerun needs an Idempotency-Key.",
        why="Without one a request that is sent again would run the work once more.",
        fix="Send a header Idempotency-Key with a value of your own per rerun, such as a UUID.",
        code="idempotency_key",
    )
