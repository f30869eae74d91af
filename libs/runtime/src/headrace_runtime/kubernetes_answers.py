"""What a failed answer of the Kubernetes API means. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from headrace_core.errors import HeadraceError
from headrace_runtime.errors_kubernetes import (
    AdmissionRefused,
    ApiDenied,
    KubernetesUnavailable,
    NamespaceEnding,
    ObjectAbsent,
    ObjectExists,
    ObjectInvalid,
    QuotaExceeded,
    StaleObject,
    Throttled,
    VersionExpired,
)

__all__ = ["failure_of"]

_LACKS = re.compile(r'cannot (\w+) resource "([^"]+)"')
_MOST_TEXT = 1_024


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] = []


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""
    details: _Details | None = None


def failure_of(method: str, path: str, code: int, headers: Mapping[str, str], body: bytes) -> HeadraceError:
    """The error of an answer with this HTTP status."""
    status = _status(body)
    what, why = f"The Kubernetes API refuses {method} {path} ({code}).", status.message[:_MOST_TEXT]
    if code == 403:
        return _forbidden(what, status, why)
    if code == 429:
        throttled = Throttled(
            what, why=why, fix="The call is tried again later.", code="kubernetes_throttled"
        )
        throttled.retry_after_s = _seconds(headers.get("Retry-After", ""))
        return throttled
    if code == 409 and status.reason == "AlreadyExists":
        return ObjectExists(what, why=why, code="kubernetes_exists")
    kinds: dict[int, tuple[type[HeadraceError], str]] = {
        400: (ObjectInvalid, "kubernetes_invalid"),
        404: (ObjectAbsent, "kubernetes_absent"),
        405: (ObjectInvalid, "kubernetes_invalid"),
        409: (StaleObject, "kubernetes_stale"),
        410: (VersionExpired, "kubernetes_expired"),
        413: (ObjectInvalid, "kubernetes_invalid"),
        415: (ObjectInvalid, "kubernetes_invalid"),
        422: (ObjectInvalid, "kubernetes_invalid"),
    }
    if code in kinds:
        kind, name = kinds[code]
        return kind(what, why=why, code=name)
    if code == 401:
        fix = "Renew the token or certificate that the process is given."
        return ApiDenied(
            "The Kubernetes API does not know the caller.", why=why, fix=fix, code="kubernetes_denied"
        )
    fix = "The call is tried again."
    return KubernetesUnavailable(what, why=why, fix=fix, code="kubernetes_unavailable")


def _forbidden(what: str, status: _Status, why: str) -> HeadraceError:
    """403 has four meanings, told apart by the API server's words (its tests hold it to them)."""
    if found := _LACKS.search(status.message):
        denied = ApiDenied(
            f"The role of this process lacks the verb {found[1]} on {found[2]}.",
            why=why,
            fix="Give it the Role of the Helm chart.",
            code="kubernetes_denied",
        )
        denied.verb, denied.resource = found[1], found[2]
        return denied
    causes = {cause.reason for cause in (status.details.causes if status.details else ())}
    if "NamespaceTerminating" in causes:
        return NamespaceEnding(what, why=why, code="kubernetes_namespace_ending")
    if "exceeded quota" in status.message:
        fix = "Raise the ResourceQuota of the namespace, or wait for room."
        return QuotaExceeded(what, why=why, fix=fix, code="kubernetes_quota")
    fix = "Change the policy of the namespace, or what is asked of it."
    return AdmissionRefused(what, why=why, fix=fix, code="kubernetes_refused")


def _status(body: bytes) -> _Status:
    try:
        return msgspec.json.decode(body, type=_Status)
    except msgspec.MsgspecError:
        return _Status(message=body[:_MOST_TEXT].decode("utf-8", "replace"))


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 1.0
