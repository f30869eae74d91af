"""Errors of the Kubernetes port. Each is a `HeadraceError`: it says what happened, why, and how to fix it."""

from __future__ import annotations

from headrace_core.errors import BadData, ConfigurationError, RetryLater, Unavailable

__all__ = [
    "AdmissionRefused",
    "ApiDenied",
    "KubernetesUnavailable",
    "NamespaceEnding",
    "ObjectAbsent",
    "ObjectExists",
    "ObjectInvalid",
    "QuotaExceeded",
    "StaleObject",
    "Throttled",
    "VersionExpired",
]


class KubernetesUnavailable(Unavailable):
    """The API server gave no answer, or said that it cannot now. A write may have happened: read before it is repeated."""


class Throttled(KubernetesUnavailable):
    """The API server asks for a pause of ``retry_after_s`` seconds (429). Nothing was done."""

    retry_after_s: float = 1.0


class VersionExpired(KubernetesUnavailable):
    """The API server has forgotten what followed that resource version (410): list again."""


class ObjectAbsent(BadData):
    """No object has the name. Whether that is an error, the caller knows."""


class ObjectExists(BadData):
    """An object of that name is there already, perhaps by an earlier call whose answer was lost."""


class StaleObject(RetryLater):
    """The object has changed since it was read, or another one has its name: read again, decide again."""


class ApiDenied(ConfigurationError):
    """The caller's role lacks a right. ``verb`` and ``resource`` name it; empty where the API server did not know the caller."""

    verb: str = ""
    resource: str = ""


class AdmissionRefused(BadData):
    """A policy of the cluster refuses the object (Pod Security, a limit range, a webhook). Nothing was created."""


class ObjectInvalid(BadData):
    """The object breaks its schema or a rule of it (400, 422)."""


class QuotaExceeded(KubernetesUnavailable):
    """The namespace's quota has no room now. Nothing was created; it may be later."""


class NamespaceEnding(KubernetesUnavailable):
    """The namespace is being deleted and takes nothing new."""
