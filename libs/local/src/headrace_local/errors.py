"""Errors of the embedded stack: each says what happened, why, and what to do about it."""

from headrace_core.errors import ExitCode, HeadraceError

__all__ = [
    "FetchError",
    "JavaMissingError",
    "LocalStackError",
    "PortTakenError",
    "ProcessFailedError",
    "StackInUseError",
    "StackMismatchError",
]


class LocalStackError(HeadraceError):
    """The embedded stack cannot do what was asked."""

    exit_code = ExitCode.UNAVAILABLE


class StackInUseError(LocalStackError):
    """Another process runs a stack in the same folder."""


class StackMismatchError(LocalStackError):
    """The folder was created with other settings than the ones asked for now."""

    exit_code = ExitCode.CONFIGURATION


class PortTakenError(LocalStackError):
    """A foreign process listens on a port that belongs to this stack's fixed endpoints."""


class ProcessFailedError(LocalStackError):
    """A child process ended by itself or was not ready in time; `why` holds the end of its log."""


class FetchError(LocalStackError):
    """A file of a lock could not be fetched, or what came is not what the lock says."""


class JavaMissingError(LocalStackError):
    """No Java of a sufficient version was found."""

    exit_code = ExitCode.CONFIGURATION
