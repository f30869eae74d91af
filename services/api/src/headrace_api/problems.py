"""Errors as answers: RFC 9457 problem+json with the stable code and what to do."""

from __future__ import annotations

import msgspec
from fastapi import Response

from headrace_core.errors import (
    BadData,
    ConfigurationError,
    HeadraceError,
    RetryLater,
    Unavailable,
    UsageError,
)
from headrace_runtime.errors_kubernetes import ObjectAbsent

__all__ = ["problem_of", "status_of"]

_CONFLICTS = frozenset({"run_conflict"})
_STATUSES: tuple[tuple[type[HeadraceError], int], ...] = (
    (Unavailable, 503),
    (RetryLater, 503),
    (ObjectAbsent, 404),
    (BadData, 422),
    (UsageError, 400),
    (ConfigurationError, 500),
)


def status_of(error: HeadraceError) -> int:
    """The HTTP status of an error; 500 where it is a defect."""
    if error.code in _CONFLICTS:
        return 409
    if error.code == "unauthorized":
        return 401
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_of(error: HeadraceError) -> Response:
    """The answer."""
    status = status_of(error)
    problem = {
        "type": f"https://headrace.io/errors/{error.code}",
        "title": error.what,
        "status": status,
        "detail": error.why,
        "code": error.code,
        "fix": error.fix,
    }
    headers = (
        {"www-authenticate": "Bearer"} if status == 401 else {"retry-after": "5"} if status == 503 else None
    )
    return Response(msgspec.json.encode(problem), status, headers, media_type="application/problem+json")
