"""Objects of Kubernetes as JSON: patches, selectors, owners, and the Status that an API server answers a failure with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = [
    "ApiFailure",
    "Json",
    "failure",
    "field_selector_matches",
    "label_selector_matches",
    "merge_patch",
    "owner_uids",
    "timestamp",
]

Json = dict[str, Any]

_REQUIREMENT = re.compile(r",(?![^(]*\))")
_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")


class ApiFailure(Exception):
    """An answer that is no success. ``retry_after_s`` becomes the header of 429 and 503."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        causes: tuple[str, ...] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.causes, self.retry_after_s = causes, retry_after_s

    def status(self) -> Json:
        """The Status object of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": {"causes": [{"reason": cause} for cause in self.causes]},
            "code": self.code,
        }


def failure(code: int, message: str) -> ApiFailure:
    """The failure that an API server means by a code."""
    reasons = {
        400: "BadRequest",
        401: "Unauthorized",
        403: "Forbidden",
        404: "NotFound",
        409: "Conflict",
        410: "Expired",
        422: "Invalid",
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
        504: "Timeout",
    }
    return ApiFailure(code, reasons.get(code, "Unknown"), message)


def timestamp(now_ms: int) -> str:
    """A time as Kubernetes writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386. Neither argument is changed; parts without a change are shared."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def owner_uids(body: Json) -> list[str]:
    """Uids of an object's owners."""
    return [owner["uid"] for owner in body["metadata"].get("ownerReferences", ())]


def label_selector_matches(body: Json, selector: str) -> bool:
    """Whether an object's labels meet a selector: ``a=b``, ``a!=b``, ``a``, ``!a``, ``a in (b,c)``, ``a notin (b)``."""
    labels = body["metadata"].get("labels") or {}
    return all(_meets(labels, part.strip()) for part in _REQUIREMENT.split(selector) if part.strip())


def _meets(labels: Mapping[str, str], part: str) -> bool:
    if found := _SET.match(part):
        values = {value.strip() for value in found[3].split(",")}
        return (labels.get(found[1]) in values) == (found[2] == "in")
    if part.startswith("!"):
        return part[1:] not in labels
    if "!=" in part:
        key, value = part.split("!=", 1)
        return labels.get(key) != value
    if "=" in part:
        key, value = re.split("==?", part, maxsplit=1)
        return labels.get(key) == value
    return part in labels


def field_selector_matches(body: Json, selector: str) -> bool:
    """Whether fields, named by dotted paths, have the values of a selector."""
    for part in filter(None, selector.split(",")):
        path, value = part.split("=", 1)
        found: Any = body
        for step in path.rstrip("=!").split("."):
            found = found.get(step, "") if isinstance(found, Mapping) else ""
        if (found == value.lstrip("=")) == path.endswith("!"):
            return False
    return True
