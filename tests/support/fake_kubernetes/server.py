"""HTTP of the fake API server: paths, verbs and watches over the store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import yaml
from aiohttp import web
from tests.support.fake_kubernetes.cluster import FakeKubernetes
from tests.support.fake_kubernetes.faults import Fault
from tests.support.fake_kubernetes.history import Entry
from tests.support.fake_kubernetes.objects import (
    ApiFailure,
    Json,
    failure,
    field_selector_matches,
    label_selector_matches,
)
from tests.support.fake_kubernetes.resources import (
    NAMESPACES,
    RESOURCES,
    ResourceType,
    api_groups,
    api_resources,
    api_versions,
)

__all__ = ["Server"]

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)
_BY_NAME = {(each.group, each.version, each.plural): each for each in RESOURCES}
_HELD_CHECK_S = 3600.0


class _Target:
    """What a request is about."""

    def __init__(self, resource: ResourceType, found: re.Match[str]) -> None:
        self.resource = resource
        self.namespace = found["namespace"] or ""
        self.name = found["name"] or ""
        self.subresource = found["sub"] or ""


class Server:
    """Answers requests. A failure of the fake itself is a 500 that says so."""

    def __init__(self, cluster: FakeKubernetes) -> None:
        self._cluster = cluster
        self._store = cluster.store

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        try:
            return await self._answer(request)
        except ApiFailure as refused:
            headers = {} if refused.retry_after_s is None else {"Retry-After": str(refused.retry_after_s)}
            return _json(refused.status(), refused.code, headers)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or "anonymous"
        if token in self._cluster.severed:
            return _cut(request)
        discovery = _discovery(path)
        if discovery is not None:
            return _json(discovery)
        target = _target(path)
        verb = _verb(request, target)
        dry_run = request.query.get("dryRun") == "All"
        call = self._cluster.count(
            token, verb, target.resource.plural, target.namespace, target.name, dry_run=dry_run
        )
        if self._cluster.latency_s:
            await asyncio.sleep(self._cluster.latency_s)
        fault = self._cluster.faults.take(call)
        if fault is not None and fault.kind != "lose_answer":
            return await self._fail(request, fault)
        self._cluster.access.check(token, target.resource, target.subresource, verb, target.namespace)
        if verb == "watch":
            self._cluster.sever_if_due(call)
            return await self._watch(request, target, token)
        body = await request.read()
        try:
            answer = self._carry_out(request, target, verb, body)
        finally:
            self._cluster.sever_if_due(call)
        return _cut(request) if fault is not None or token in self._cluster.severed else answer

    async def _fail(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse:
        if fault.kind == "cut":
            return _cut(request)
        if fault.kind == "hang":
            await asyncio.sleep(_HELD_CHECK_S)
        refused = failure(fault.code, fault.message)
        refused.retry_after_s = fault.retry_after_s
        raise refused

    def _carry_out(
        self, request: web.BaseRequest, target: _Target, verb: str, body: bytes
    ) -> web.StreamResponse:
        decoded = _decoded(body)
        given: Json = decoded if isinstance(decoded, dict) else {}
        operations: list[Json] = decoded if isinstance(decoded, list) else []
        resource, namespace, name = target.resource, target.namespace, target.name
        query = request.query
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        if verb == "get" and target.subresource == "log":
            return self._log(namespace, name, query)
        if verb == "list":
            return self._list(request, resource, namespace)
        done: Json
        match verb:
            case "get":
                done = self._store.get(resource, namespace, name)
            case "create":
                done = self._store.create(resource, namespace, given, dry_run=query.get("dryRun") == "All")
            case "update":
                done = self._store.replace(resource, namespace, name, given)
            case "patch" if "apply-patch" in request.headers.get("Content-Type", ""):
                done = self._store.apply(resource, namespace, name, given)
            case "patch" if "json-patch" in request.headers.get("Content-Type", ""):
                sub = target.subresource
                done = self._store.patch_json(resource, namespace, name, operations, subresource=sub)
            case "patch":
                done = self._store.patch(resource, namespace, name, given, subresource=target.subresource)
            case "delete":
                done = self._store.delete(resource, namespace, name, given or None)
            case _:
                gone = self._store.delete_collection(resource, namespace, labels, fields, given or None)
                done = {"kind": f"{resource.kind}List", "items": gone}
        return _json(done, 201 if verb == "create" else 200)

    def _log(self, namespace: str, name: str, query: Mapping[str, str]) -> web.StreamResponse:
        self._store.get(_BY_NAME["", "v1", "pods"], namespace, name)
        text = self._cluster.logs.get((namespace, name), b"")
        if "tailLines" in query:
            text = b"".join(text.splitlines(keepends=True)[-int(query["tailLines"]) :])
        return web.Response(body=text[: int(query.get("limitBytes", len(text)))], content_type="text/plain")

    def _list(self, request: web.BaseRequest, resource: ResourceType, namespace: str) -> web.StreamResponse:
        query = request.query
        if query.get("continue") == "expired":
            raise failure(410, "The provided continue parameter is too old")
        found = list(
            self._store.select(
                resource, namespace, query.get("labelSelector", ""), query.get("fieldSelector", "")
            )
        )
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0) or len(found)
        items: list[Any] | None = found[start : start + limit]
        if "PartialObjectMetadataList" in request.headers.get("Accept", ""):
            items = [{"metadata": body["metadata"]} for body in items or ()] or None  # as a real one has it
        more = str(start + limit) if start + limit < len(found) else ""
        return _json(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": {"resourceVersion": str(self._store.version), "continue": more},
                "items": items,
            }
        )

    async def _watch(self, request: web.BaseRequest, target: _Target, token: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        task: asyncio.Task[None] = asyncio.ensure_future(self._feed(request, response, target, token))
        self._cluster.watches[task] = target.resource
        try:
            await task
        except (asyncio.CancelledError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
        finally:
            task.cancel()
            self._cluster.watches.pop(task, None)
        return response

    async def _feed(
        self, request: web.BaseRequest, response: web.StreamResponse, target: _Target, token: str
    ) -> None:
        history = self._store.histories[target.resource]
        seen = int(request.query.get("resourceVersion") or self._store.version)
        if seen < history.floor:
            status = failure(410, f"too old resource version: {seen} ({history.floor})").status()
            await response.write(_line({"type": "ERROR", "object": status}))
            return
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(request.query.get("timeoutSeconds", "3600"))
        while token not in self._cluster.severed and (left := ends - loop.time()) > 0:
            fresh = [] if token in self._cluster.held else history.after(seen)
            wanted = [history.line(entry) for entry in fresh if _selected(entry, target, request.query)]
            seen = fresh[-1][0] if fresh else seen
            if wanted:
                await response.write(b"".join(wanted))
            elif not fresh:
                await history.moved(min(left, self._cluster.bookmark_s))
                if not history.after(seen) and token not in self._cluster.held:
                    await response.write(_bookmark(target.resource, max(seen, self._store.version)))


def _selected(entry: Entry, target: _Target, query: Mapping[str, str]) -> bool:
    body = entry[2]
    return (
        target.namespace in ("", body["metadata"].get("namespace"))
        and label_selector_matches(body, query.get("labelSelector", ""))
        and field_selector_matches(body, query.get("fieldSelector", ""))
    )


def _bookmark(resource: ResourceType, version: int) -> bytes:
    body = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(version)},
    }
    return _line({"type": "BOOKMARK", "object": body})


def _line(event: Json) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def _json(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", headers=headers
    )


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _decoded(body: bytes) -> Any:
    """JSON, or the YAML that some clients apply."""
    try:
        return msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        return yaml.safe_load(body)


def _discovery(path: str) -> Json | None:
    if path == "/version":
        return {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
    if path in ("/api", "/apis"):
        return api_versions() if path == "/api" else api_groups()
    found = re.match(r"^/(?:api|apis/([^/]+))/([^/]+)$", path)
    return None if found is None else api_resources(found[1] or "", found[2])


def _target(path: str) -> _Target:
    found = _PATH.match(path)
    if found is not None:
        resource = _BY_NAME.get((found["group"] or "", found["version"], found["plural"]))
        if resource is not None:
            return _Target(resource, found)
        if found["plural"] == "namespaces":
            return _Target(NAMESPACES, found)
    raise failure(404, "the server could not find the requested resource")


def _verb(request: web.BaseRequest, target: _Target) -> str:
    match request.method:
        case "GET" if request.query.get("watch") in ("true", "1"):
            return "watch"
        case "GET":
            return "get" if target.name else "list"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
        case method:
            return {"POST": "create", "PUT": "update", "PATCH": "patch"}[method]
