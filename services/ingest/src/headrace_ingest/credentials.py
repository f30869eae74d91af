"""Finds the write key that a request presents, wherever its SDK puts it. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

__all__ = ["presented_key"]


def presented_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key in the headers (names in lower case): user name of Basic, Bearer token, X-Write-Key; None without one."""
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, rest = authorization.partition(b" ")
        scheme, rest = scheme.lower(), rest.strip()
        if scheme == b"basic" and (user := _basic_user(rest)):
            return user
        if scheme == b"bearer" and rest:
            return rest.decode("latin-1")
    key = headers.get(b"x-write-key")
    return key.decode("latin-1") if key else None


def _basic_user(encoded: bytes) -> str | None:
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return decoded.partition(b":")[0].decode("utf-8", "replace")
