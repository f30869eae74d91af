"""Checks on an event's own bytes that no later step makes: size, encoding, depth, characters that no warehouse stores.

JSON syntax itself (numbers, escapes, control characters, NaN) is the decoder's business. An ordinary event passes by
a few scans at the speed of memory; only what looks suspicious is looked at precisely.
"""

from __future__ import annotations

import re

from headrace_core.parsed import Rejected
from headrace_core.reasons import Reason

__all__ = ["DEPTH_LIMIT", "EVENT_LIMIT_BYTES", "check_bytes", "is_too_deep"]

EVENT_LIMIT_BYTES = 256 * 1024
"""The largest event; a larger one is refused whatever it holds."""

DEPTH_LIMIT = 64
"""The most objects and arrays that may be open at once."""

# An unterminated string ends with the data, so that the search for the next one never begins inside it.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_SUSPICIOUS_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_SOUND_ESCAPE = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_NUL_ESCAPE = b"\\u0000"
_BACKSLASH = ord("\\")
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def check_bytes(value: bytes) -> None:
    """Rejected where the bytes break a limit or hold what cannot be stored; nothing is said about their syntax."""
    if len(value) > EVENT_LIMIT_BYTES:
        raise Rejected(Reason.EVENT_TOO_LARGE, f"{len(value)} bytes; the limit is {EVENT_LIMIT_BYTES}")
    if not value.isascii():
        _check_encoding(value)
    # Removing a byte is several times faster than counting it.
    if len(value) - len(value.replace(b"{", b"").replace(b"[", b"")) > DEPTH_LIMIT and is_too_deep(value):
        raise Rejected(Reason.TOO_DEEP, f"more than {DEPTH_LIMIT} objects and arrays inside each other")
    if _BACKSLASH in value and _SUSPICIOUS_ESCAPE.search(value):
        _check_escapes(value)


def _check_encoding(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise Rejected(Reason.INVALID_UTF8, f"byte {error.start}: {error.reason}") from None


def is_too_deep(value: bytes) -> bool:
    """Whether brackets outside strings nest deeper than the limit; False where they do not match at all."""
    brackets = _STRING.sub(b"", value).translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(DEPTH_LIMIT):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            return brackets.startswith(b"[" * (DEPTH_LIMIT + 1))
        brackets = inner
    return bool(brackets)


def _check_escapes(value: bytes) -> None:
    """Tell real \\u0000 and lone surrogates from those behind an escaped backslash and from proper pairs."""
    rest = _SOUND_ESCAPE.sub(b"__", value)
    if _NUL_ESCAPE in rest:
        raise Rejected(Reason.NUL_CHARACTER, "a string holds \\u0000")
    if found := _SUSPICIOUS_ESCAPE.search(rest):
        lone = rest[found.start() : found.start() + 6].decode("ascii", "replace")
        raise Rejected(Reason.LONE_SURROGATE, f"a string holds {lone} without its other half")
