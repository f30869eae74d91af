"""Who may work with runs over HTTP: bearer tokens, of which a file holds hashes only. Pure."""

from __future__ import annotations

import hmac
from typing import Annotated, Any, Literal

import msgspec

from headrace_core.errors import ConfigurationError, UsageError
from headrace_core.write_keys import hash_key

__all__ = ["RunTokens", "read_run_tokens"]

_LONGEST_TOKEN_CHARS = 512


class Caller(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A caller: its name for the log, and the hash of its token (`python -m headrace_ingest hash-key` makes it)."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    hash: Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]


class TokenFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token file, version 1."""

    version: Literal[1]
    callers: Annotated[list[Caller], msgspec.Meta(min_length=1)]


class RunTokens:
    """Finds the caller of a presented token."""

    def __init__(self, callers: list[Caller]) -> None:
        self._callers = [(caller.name, caller.hash.encode()) for caller in callers]

    def caller(self, authorization: str | None) -> str:
        """The name behind an Authorization header. UsageError ``unauthorized`` where there is none."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and 0 < len(token) <= _LONGEST_TOKEN_CHARS:
            presented = hash_key(token).encode()
            # Every entry is compared, so that the time of an answer tells nothing.
            names = [name for name, known in self._callers if hmac.compare_digest(presented, known)]
            if names:
                return names[0]
        raise UsageError(
            "This needs a token.",
            why="The Authorization header has none, or one that HEADRACE_RUN_TOKENS_FILE does not list.",
            fix="Send Authorization: Bearer TOKEN; the platform team gives tokens out.",
            code="unauthorized",
        )


def read_run_tokens(content: Any) -> RunTokens:
    """The tokens of a parsed file. ConfigurationError names the place that is wrong."""
    try:
        return RunTokens(msgspec.convert(content, TokenFile).callers)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            "The file of run tokens cannot be understood.",
            why=str(error),
            fix="The file of HEADRACE_RUN_TOKENS_FILE looks like: {version: 1, callers: [{name: airflow, hash: 'sha256:…'}]}.",
            code="run_tokens",
        ) from error
