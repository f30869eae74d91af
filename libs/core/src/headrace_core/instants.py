"""Kubernetes' times (RFC 3339, whole seconds) to milliseconds since 1970 UTC and back. Pure."""

from __future__ import annotations

import datetime as dt

__all__ = ["instant_text", "read_instant"]


def read_instant(text: object) -> int | None:
    """Milliseconds of a time such as 2026-11-28T08:00:00Z; None where there is none or it cannot be read."""
    if not isinstance(text, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return round(moment.timestamp() * 1000)


def instant_text(at_ms: int) -> str:
    """The second that a time lies in, as Kubernetes writes it."""
    return dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
