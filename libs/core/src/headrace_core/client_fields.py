"""What normalisation needs from an event's context and properties, read without decoding the rest.

A member of another type than expected is no error: the columns that it would fill stay empty, and it stays where it is.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

__all__ = ["ClientContext", "ClientProperties", "Page", "read_context", "read_properties"]


class Page(msgspec.Struct, gc=False):
    """``context.page``."""

    url: str | None = None
    path: str | None = None
    referrer: str | None = None


class CampaignFields(msgspec.Struct, gc=False):
    """``context.campaign``."""

    source: str | None = None
    medium: str | None = None
    name: str | None = None


class SessionFields(msgspec.Struct, gc=False):
    """``context.session``."""

    id: str | int | None = None


class ClientContext(msgspec.Struct, gc=False):
    """The members of the context that fill columns."""

    page: Page | None = None
    campaign: CampaignFields | None = None
    sessionId: str | int | None = None  # noqa: N815  (the SDKs' name)
    session_id: str | int | None = None
    session: SessionFields | None = None


class ClientProperties(msgspec.Struct, gc=False):
    """The members of the properties that fill columns. Of ``revenue`` a number with a fraction comes as its own digits."""

    revenue: Any = None
    currency: str | None = None
    url: str | None = None
    path: str | None = None
    referrer: str | None = None


_decode_context = msgspec.json.Decoder(ClientContext).decode
_decode_properties = msgspec.json.Decoder(ClientProperties, float_hook=str).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

S = TypeVar("S", bound=msgspec.Struct)


def read_context(raw: msgspec.Raw) -> ClientContext:
    """The known members of a context object."""
    try:
        return _decode_context(raw)
    except msgspec.ValidationError:
        return _tolerant(ClientContext, raw)


def read_properties(raw: msgspec.Raw) -> ClientProperties:
    """The known members of a properties object."""
    try:
        return _decode_properties(raw)
    except msgspec.ValidationError:
        return _tolerant(ClientProperties, raw)


def _tolerant(shape: type[S], raw: msgspec.Raw) -> S:
    """A Struct of those members that have the right type."""
    try:
        members = _decode_members(raw)
    except msgspec.ValidationError:
        return shape()
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(shape).items():
        if name in members:
            values[name] = _member(hint, members[name])
    return shape(**values)


def _member(hint: Any, raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.Decoder(hint, float_hook=str).decode(raw)
    except msgspec.ValidationError:
        struct = next(iter(get_args(hint)), None)
        return (
            _tolerant(struct, raw)
            if isinstance(struct, type) and issubclass(struct, msgspec.Struct)
            else None
        )
