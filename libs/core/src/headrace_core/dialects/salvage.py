"""Takes a body apart that the JSON decoder refuses, so that one bad event does not take its neighbours with it.

The decoder refuses a whole array for a lone surrogate, a bad number or a deep nest in one element. Where brackets and
strings still match, the elements can be told apart without understanding them; each is then checked by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["array_elements", "object_members"]

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{},:"]', re.DOTALL)
_TOKEN_LIMIT = 1_000_000
"""A body with more is given up: the scan would hold the process for seconds."""
_SPACE = b" \t\r\n"


def array_elements(text: bytes) -> list[bytes] | None:
    """The elements of an array as their own bytes; None where they cannot be told apart."""
    parts = _parts(text, b"[", b"]", b",")
    if parts is None or not all(parts):
        return [] if parts == [b""] else None
    return parts


def object_members(text: bytes) -> dict[str, bytes] | None:
    """The members of an object with the bytes of their values; None where they cannot be told apart."""
    parts = _parts(text, b"{", b"}", b",")
    if parts is None:
        return None
    members: dict[str, bytes] = {}
    for part in parts:
        name = _TOKEN.match(part)
        if name is None or part[:1] != b'"' or len(name.group()) < 2:
            return None
        colon, value = (
            part[name.end() :].strip(_SPACE)[:1],
            part[name.end() :].strip(_SPACE)[1:].strip(_SPACE),
        )
        if colon != b":" or not value:
            return None
        members[name.group()[1:-1].decode(errors="replace")] = value
    return members


def _parts(text: bytes, opening: bytes, closing: bytes, separator: bytes) -> list[bytes] | None:
    """What stands between the separators of the outermost level; None where brackets or strings do not match."""
    if text[:1] != opening or text[-1:] != closing:
        return None
    parts: list[bytes] = []
    begin = 1
    for start, token, depth in _levels(text):
        if depth < 0:
            return None
        if depth == 1 and token == separator:
            parts.append(text[begin:start].strip(_SPACE))
            begin = start + 1
        elif depth == 0:
            if start != len(text) - 1:
                return None
            return [*parts, text[begin:start].strip(_SPACE)]
    return None


_CLOSES = {b"]": b"[", b"}": b"{"}


def _levels(text: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(start, token, depth after it) of each bracket and separator; depth -1 where nothing matches any more."""
    open_brackets: list[bytes] = []
    for count, found in enumerate(_TOKEN.finditer(text)):
        token = found.group()
        if token == b'"' or count > _TOKEN_LIMIT:
            yield found.start(), token, -1
            return
        if token in (b"[", b"{"):
            open_brackets.append(token)
        elif token in _CLOSES and (not open_brackets or open_brackets.pop() != _CLOSES[token]):
            yield found.start(), token, -1
            return
        yield found.start(), token, len(open_brackets)
