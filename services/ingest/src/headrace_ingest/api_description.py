"""The OpenAPI description of the hot paths, which FastAPI does not see. Pure."""

from __future__ import annotations

from typing import Any

from headrace_ingest.refusals import RefusalCode
from headrace_ingest.routes import HOT_PATHS, IMPORT_PREFIX, Convention

__all__ = ["describe_hot_paths"]

_EVENT = {"type": "object", "description": "One event; docs/events.md lists its fields."}
_BODIES: dict[str, dict[str, Any]] = {
    "events": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]},
    "batch": {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": _EVENT},
            "context": {"type": "object"},
            "sentAt": {"type": "string"},
            "writeKey": {"type": "string"},
        },
    },
    "one": _EVENT,
}
_RECEIPTS = {
    "type": "object",
    "required": ["request_id", "receipts"],
    "properties": {
        "request_id": {"type": "string"},
        "receipts": {"type": "array", "items": {"type": ["string", "null"]}},
        "rejected": {"type": "array", "items": {"type": "object"}},
        "ids": {"type": "array", "items": {"type": "object"}},
    },
}
_SUCCESS = {"type": "object", "required": ["success"], "properties": {"success": {"type": "boolean"}}}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {name: {"type": "string"} for name in ("type", "title", "detail", "code", "request_id")}
    | {"status": {"type": "integer"}},
}
_SDK_ERROR = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {name: {"type": "string"} for name in ("code", "message")},
}


def describe_hot_paths(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the hot paths added."""
    paths = document.setdefault("paths", {})
    for route in HOT_PATHS.values():
        paths[route.path] = {"post": _operation(route.path, route.shape, route.convention)}
    mapped = _operation(IMPORT_PREFIX, "events", "native")
    mapped["parameters"] = [{"name": "mapping", "in": "path", "required": True, "schema": {"type": "string"}}]
    paths[IMPORT_PREFIX + "{mapping}"] = {"post": mapped}
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["writeKey"] = {"type": "http", "scheme": "basic"}
    schemes["writeKeyHeader"] = {"type": "apiKey", "in": "header", "name": "X-Write-Key"}
    schemes["writeKeyBearer"] = {"type": "http", "scheme": "bearer"}
    return document


def _operation(path: str, shape: str, convention: Convention) -> dict[str, Any]:
    is_native = convention == "native"
    statuses = {code.status if is_native else code.sdk_status for code in RefusalCode}
    error_type = "application/problem+json" if is_native else "application/json"
    error_schema = _PROBLEM if is_native else _SDK_ERROR
    return {
        "summary": "Take events",
        "operationId": f"take{path.replace('/', '_')}",
        "security": [{"writeKey": []}, {"writeKeyHeader": []}, {"writeKeyBearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _BODIES[shape]}}},
        "responses": {
            "200": _response(
                "Every event is durable.", "application/json", _RECEIPTS if is_native else _SUCCESS
            ),
            **{
                str(status): _response(_titles(status, is_native=is_native), error_type, error_schema)
                for status in sorted(statuses - {404, 405})
            },
        },
    }


def _response(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _titles(status: int, *, is_native: bool) -> str:
    return " ".join(
        code.title for code in RefusalCode if (code.status if is_native else code.sdk_status) == status
    )
