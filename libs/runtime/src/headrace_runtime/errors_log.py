"""Errors of the log ports. Each is a `HeadraceError`: it says what happened, why, and how to fix it."""

from __future__ import annotations

from headrace_core.errors import ConfigurationError, Unavailable

__all__ = [
    "AppendRefused",
    "AppendTooLarge",
    "AppendUnknown",
    "LogAccessDenied",
    "LogCorrupt",
    "LogUnavailable",
    "PositionOutOfRange",
    "TopicRefused",
]


class AppendRefused(Unavailable):
    """The records were certainly not appended, and no later moment appends them."""


class AppendTooLarge(AppendRefused):
    """The same, because of their size: the same records can never be appended in one batch."""


class AppendUnknown(Unavailable):
    """The records may stand in the log, now or later, or their offset was not told."""


class LogUnavailable(Unavailable):
    """No broker gave the answer within the deadline; asking again later may succeed."""


class LogCorrupt(Unavailable):
    """Bytes of a partition do not match their checksum or format; the position has not moved."""


class LogAccessDenied(ConfigurationError):
    """The brokers refuse this client's credentials or its right to the topic or group."""


class PositionOutOfRange(ConfigurationError):
    """The position lies outside the log: records were deleted by retention, or the log is another one."""


class TopicRefused(ConfigurationError):
    """The cluster does not accept the definition of a topic."""
