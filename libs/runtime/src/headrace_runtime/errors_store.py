"""Errors of the object store port. Each is a `HeadraceError`: it says what happened, why, and how to fix it."""

from __future__ import annotations

from headrace_core.errors import BadData, ConfigurationError, Unavailable

__all__ = ["ObjectNotFound", "StoreDenied", "StoreUnavailable", "StoreUnknown"]


class ObjectNotFound(BadData):
    """No object has the key. Whether that is an error, the caller knows."""


class StoreUnavailable(Unavailable):
    """The store gave no answer, or said that it cannot now. A read changed nothing; a plain put may be repeated."""


class StoreUnknown(StoreUnavailable):
    """A conditional write got no clear answer: it may have happened, now or later. Read the key again to learn it."""


class StoreDenied(ConfigurationError):
    """The store refuses the credentials, or their right to the bucket, or has no such bucket."""
