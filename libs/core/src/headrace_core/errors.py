"""The errors of Headrace: each says what happened, why, and how to fix it, and decides what the process does.

Adapters translate foreign exceptions into these; nothing else crosses a port. The class decides the reaction (retry,
stop, refuse), the exit code is the one of sysexits that scripts and operators can rely on.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "BadData",
    "Bug",
    "ConfigurationError",
    "ExitCode",
    "HeadraceError",
    "RetryLater",
    "Unavailable",
    "UsageError",
]


class ExitCode(IntEnum):
    """Exit codes of every Headrace process (design 3.6)."""

    OK = 0
    USAGE = 64
    BAD_DATA = 65
    UNAVAILABLE = 69
    BUG = 70
    RETRY_LATER = 75
    CONFIGURATION = 78


class HeadraceError(Exception):
    """An error for people: ``what`` happened, ``why``, and the ``fix``; ``code`` is stable and documented."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str = "internal") -> None:
        self.what, self.why, self.fix, self.code = what, why, fix, code
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.fix:
            parts.append(f"Fix: {self.fix}")
        return " ".join(parts)


class UsageError(HeadraceError):
    """The caller asked for something that makes no sense; nothing was done."""

    exit_code = ExitCode.USAGE


class BadData(HeadraceError):
    """Input that can never succeed as it is: it goes to quarantine or is set aside, never retried unchanged."""

    exit_code = ExitCode.BAD_DATA


class Unavailable(HeadraceError):
    """A dependency does not answer; the same step can be tried again with backoff."""

    exit_code = ExitCode.UNAVAILABLE


class RetryLater(HeadraceError):
    """This process must stop and be started again, usually after something else changed (an upgrade, an owner)."""

    exit_code = ExitCode.RETRY_LATER


class ConfigurationError(HeadraceError):
    """The installation is set up wrongly; a person must change it before a restart can help."""

    exit_code = ExitCode.CONFIGURATION


class Bug(HeadraceError):
    """The code met a state that its own rules exclude; it stops rather than guess."""

    exit_code = ExitCode.BUG
