"""The Kubernetes port over HTTP, by aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import quote

import aiohttp
import msgspec

from headrace_runtime.errors_kubernetes import KubernetesUnavailable, VersionExpired
from headrace_runtime.kubernetes_answers import failure_of
from headrace_runtime.kubernetes_connection import CONNECT_S, KubernetesConnection, OnAnswer
from headrace_runtime.ports_kubernetes import PODS, Json, ObjectList, ResourceKind, WatchEvent

__all__ = ["HttpKubernetesApi"]

_PAGE = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_WATCH_SLACK_S = 10.0

_Body = Json | list[Json] | None


class HttpKubernetesApi:
    """`KubernetesApi` on one session."""

    def __init__(self, server: str, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(
        cls, connection: KubernetesConnection, *, pool: int = 100, on_answer: OnAnswer | None = None
    ) -> AsyncIterator[Self]:
        """The API of a cluster; its connections are closed at the end of the context."""
        async with connection.session(pool=pool, on_answer=on_answer) as session:
            yield cls(connection.server, session)

    async def create(
        self,
        kind: ResourceKind,
        namespace: str,
        body: Json,
        *,
        dry_run: bool = False,
        strict: bool = False,
        deadline_s: float = 30.0,
    ) -> Json:
        """See `KubernetesApi`."""
        params = {"dryRun": "All"} if dry_run else {}
        if strict:
            params["fieldValidation"] = "Strict"
        return await self._json("POST", _path(kind, namespace), deadline_s, params=params, body=body)

    async def get(self, kind: ResourceKind, namespace: str, name: str, *, deadline_s: float = 30.0) -> Json:
        """See `KubernetesApi`."""
        return await self._json("GET", _path(kind, namespace, name), deadline_s)

    async def list(
        self,
        kind: ResourceKind,
        namespace: str,
        *,
        labels: str = "",
        metadata_only: bool = False,
        deadline_s: float = 30.0,
    ) -> ObjectList:
        """See `KubernetesApi`."""
        params = {"limit": str(_PAGE)} | ({"labelSelector": labels} if labels else {})
        headers = {"Accept": _METADATA_ONLY} if metadata_only else {}
        items: list[Json] = []
        while True:
            path = _path(kind, namespace)
            page = await self._json("GET", path, deadline_s, params=params, headers=headers)
            items += page["items"] or []  # null is how an API server writes an empty list of metadata
            params["continue"] = page["metadata"].get("continue") or ""
            if not params["continue"]:
                return ObjectList(items, page["metadata"]["resourceVersion"])

    async def patch(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        body: Json,
        *,
        subresource: str = "",
        deadline_s: float = 30.0,
    ) -> Json:
        """See `KubernetesApi`."""
        path = _path(kind, namespace, name, subresource)
        headers = {"Content-Type": "application/merge-patch+json"}
        return await self._json("PATCH", path, deadline_s, body=body, headers=headers)

    async def replace_status(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        status: Json,
        *,
        resource_version: str,
        deadline_s: float = 30.0,
    ) -> Json:
        """See `KubernetesApi`. A JSON patch replaces it whole with the right to patch alone; the version that it writes into
        the object is the one that the API server then compares."""
        operations: list[Json] = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]
        path = _path(kind, namespace, name, "status")
        headers = {"Content-Type": "application/json-patch+json"}
        return await self._json("PATCH", path, deadline_s, body=operations, headers=headers)

    async def replace(
        self, kind: ResourceKind, namespace: str, name: str, body: Json, *, deadline_s: float = 30.0
    ) -> Json:
        """See `KubernetesApi`."""
        return await self._json("PUT", _path(kind, namespace, name), deadline_s, body=body)

    async def delete(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        resource_version: str = "",
        grace_s: int | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        """See `KubernetesApi`."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {field: value for field, value in wanted.items() if value}
        options = _delete_options(grace_s) | ({"preconditions": preconditions} if preconditions else {})
        await self._json("DELETE", _path(kind, namespace, name), deadline_s, body=options)

    async def delete_many(
        self,
        kind: ResourceKind,
        namespace: str,
        *,
        labels: str,
        grace_s: int | None = None,
        deadline_s: float = 30.0,
    ) -> None:
        """See `KubernetesApi`."""
        if not labels:
            raise ValueError("an empty selector would delete all there is")
        params = {"labelSelector": labels}
        body = _delete_options(grace_s)
        await self._json("DELETE", _path(kind, namespace), deadline_s, params=params, body=body)

    async def log(
        self,
        namespace: str,
        pod: str,
        *,
        tail_lines: int | None = None,
        limit_bytes: int = 1 << 20,
        deadline_s: float = 30.0,
    ) -> bytes:
        """See `KubernetesApi`."""
        params = {"limitBytes": str(limit_bytes)} | (
            {} if tail_lines is None else {"tailLines": str(tail_lines)}
        )
        return await self._call("GET", _path(PODS, namespace, pod, "log"), deadline_s, params=params)

    async def watch(
        self,
        kind: ResourceKind,
        namespace: str,
        *,
        resource_version: str,
        name: str = "",
        labels: str = "",
        for_s: float = 300.0,
    ) -> AsyncIterator[WatchEvent]:
        """See `KubernetesApi`."""
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(int(for_s)),
        }
        params |= {"fieldSelector": f"metadata.name={name}"} if name else {}
        params |= {"labelSelector": labels} if labels else {}
        timeout = aiohttp.ClientTimeout(total=for_s + _WATCH_SLACK_S, sock_connect=CONNECT_S)
        path = _path(kind, namespace)
        with _translated("watch", path):
            async with self._session.get(f"{self._server}{path}", params=params, timeout=timeout) as answer:
                if answer.status != 200:
                    raise failure_of("watch", path, answer.status, answer.headers, await answer.read())
                async for line in answer.content:
                    yield _event(path, line)

    async def _json(
        self,
        method: str,
        path: str,
        deadline_s: float,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: _Body = None,
    ) -> Json:
        raw = await self._call(method, path, deadline_s, params=params, headers=headers, body=body)
        try:
            found: Json = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            raise KubernetesUnavailable(
                f"The answer to {method} {path} is no JSON.", why=str(error), code="kubernetes_answer"
            ) from error
        return found

    async def _call(
        self,
        method: str,
        path: str,
        deadline_s: float,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: _Body = None,
    ) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        with _translated(method, path):
            async with (
                asyncio.timeout(deadline_s),
                self._session.request(
                    method, f"{self._server}{path}", params=params, headers=sent, data=data
                ) as answer,
            ):
                raw = await answer.read()
        if answer.status >= 300:
            raise failure_of(method, path, answer.status, answer.headers, raw)
        return raw


class _translated:  # noqa: N801  (used like a function)
    """Turns what aiohttp raises into KubernetesUnavailable."""

    def __init__(self, method: str, path: str) -> None:
        self._call = f"{method} {path}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (TimeoutError, aiohttp.ClientError, OSError)):
            raise KubernetesUnavailable(
                "The Kubernetes API does not answer.",
                why=f"{self._call}: {str(error) or type(error).__name__}",
                fix="Look whether the API server is reachable; the call is tried again.",
                code="kubernetes_unavailable",
            ) from error


def _path(kind: ResourceKind, namespace: str, name: str = "", subresource: str = "") -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    parts = [root, "namespaces", quote(namespace, safe=""), kind.plural]
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return "/".join(parts)


def _delete_options(grace_s: int | None) -> Json:
    options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    return options if grace_s is None else {**options, "gracePeriodSeconds": grace_s}


def _event(path: str, line: bytes) -> WatchEvent:
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError as error:  # the connection went in the middle of a line
        raise KubernetesUnavailable(
            f"The watch of {path} broke off.", why=str(error), code="kubernetes_unavailable"
        ) from error
    if found["type"] == "ERROR":
        body = found["object"]
        if body.get("code") == 410:
            raise VersionExpired(
                f"The watch of {path} begins too far back.",
                why=body.get("message", ""),
                code="kubernetes_expired",
            )
        raise failure_of("watch", path, int(body.get("code") or 500), {}, msgspec.json.encode(body))
    return WatchEvent(found["type"], found["object"])
