"""Reading the fields of an SDK event: a fast path for the known shape, a patient one that names what is wrong.

A dialect describes its known fields as a Struct of the types below. Events of that shape cost one decode; anything else
(unknown fields, numbers with fractions as ids, wrong types) is read field by field. Nothing is dropped: what has no place
of its own is handed back as extras and ends in the context under ``EXTRAS_KEY``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar, get_type_hints

import msgspec

from headrace_core.blank import LONGEST_BLANK, is_blank
from headrace_core.parsed import EMPTY_OBJECT, Rejected
from headrace_core.reasons import Reason

__all__ = [
    "ABSENT",
    "EXTRAS_KEY",
    "Envelope",
    "EventReader",
    "Extras",
    "IdValue",
    "Text",
    "TimeValue",
    "as_sent",
    "context_with",
    "decode_object",
    "known_id",
    "known_time",
    "object_of",
    "shown_id",
]

EXTRAS_KEY = "$event"
"""Reserved key of the context that holds fields of the event which have no column, no properties and no context."""

ABSENT = msgspec.Raw()
"""The default of raw fields: the event does not have them."""

IdValue: TypeAlias = str | int | None
Text: TypeAlias = str | None
TimeValue: TypeAlias = str | int | float | None
Extras: TypeAlias = dict[str, Any]

E = TypeVar("E", bound="Envelope")


class Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Base of the Structs that describe the known fields of a dialect."""


class EventReader(Generic[E]):
    """Reads events into the Struct ``shape``."""

    def __init__(self, shape: type[E]) -> None:
        self._decode = msgspec.json.Decoder(shape).decode
        self._shape = shape
        hints = get_type_hints(shape)
        self._kinds = {
            wire: (name, hints[name])
            for name, wire in zip(shape.__struct_fields__, shape.__struct_encode_fields__, strict=True)
        }

    def read(self, value: bytes) -> tuple[E, Extras]:
        """The known fields, and those without a place. Rejected where the bytes are not an event of the dialect."""
        try:
            return self._decode(value), {}
        except msgspec.ValidationError:
            return self._read_patiently(value)
        except RecursionError:
            raise Rejected(Reason.TOO_DEEP, "nested too deep to decode") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Rejected(Reason.INVALID_JSON, str(error)) from None

    def _read_patiently(self, value: bytes) -> tuple[E, Extras]:
        known: dict[str, Any] = {}
        extras: Extras = {}
        for wire, raw in decode_object(value).items():
            if wire not in self._kinds:
                extras[wire] = raw
                continue
            name, kind = self._kinds[wire]
            known[name] = raw if kind is msgspec.Raw else _read_scalar(wire, raw, kind)
        return self._shape(**known), extras


_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def decode_object(value: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, values raw; of repeated names the last counts."""
    try:
        return _decode_fields(value)
    except msgspec.ValidationError:
        raise Rejected(Reason.NOT_AN_OBJECT, "an event is a JSON object") from None
    except RecursionError:
        raise Rejected(Reason.TOO_DEEP, "nested too deep to decode") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(Reason.INVALID_JSON, str(error)) from None


def _read_scalar(wire: str, raw: msgspec.Raw, kind: Any) -> Any:
    token = bytes(raw)
    if kind == IdValue and token[:1] in b"-0123456789":
        return "0" if token == b"-0" else token.decode()
    try:
        return msgspec.json.decode(token, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(Reason.WRONG_TYPE, f"{wire}: {error}") from None


def known_id(value: IdValue, wire: str, extras: Extras) -> str | None:
    """An identifier as text; None where there is none. What stood for none stays visible in the extras."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    if len(text) > LONGEST_BLANK and not text[0].isspace():
        return text
    if is_blank(text):
        extras[wire] = value
        return None
    return text


def shown_id(value: IdValue, wire: str, extras: Extras) -> str | None:
    """An identifier that has no column of its own, so that it stands in the extras whatever it is."""
    if value is None:
        return None
    extras[wire] = value
    return known_id(value, wire, extras)


def known_time(value: TimeValue, wire: str, extras: Extras) -> TimeValue:
    """A time as sent; None where it is blank, which then stays visible in the extras."""
    if isinstance(value, str) and is_blank(value):
        extras[wire] = value
        return None
    return value


def as_sent(time: TimeValue) -> str | None:
    """A time as text for the fingerprint."""
    return time if time is None or isinstance(time, str) else repr(time)


def object_of(raw: msgspec.Raw, wire: str) -> msgspec.Raw:
    """An object field as it is, ``{}`` where it is absent or null. Rejected where it is something else."""
    if raw is ABSENT:
        return EMPTY_OBJECT
    # The view costs less than a copy of what may be most of the event.
    if memoryview(raw)[0] == _BRACE:
        return raw
    if raw == _NULL:
        return EMPTY_OBJECT
    raise Rejected(Reason.WRONG_TYPE, f"{wire}: expected an object")


_BRACE = ord("{")
_NULL = msgspec.Raw(b"null")


def context_with(own: msgspec.Raw, batch: msgspec.Raw | None, extras: Extras) -> msgspec.Raw:
    """The event's own context over the batch's, key by key, with the extras under their reserved key."""
    if batch is None:
        if not extras:
            return own
        members: Extras = dict(decode_object(own))
    else:
        members = {**_batch_members(bytes(batch)), **decode_object(own)}
    if extras:
        if EXTRAS_KEY in members:
            extras = {**extras, EXTRAS_KEY: members[EXTRAS_KEY]}
        members[EXTRAS_KEY] = extras
    return msgspec.Raw(msgspec.json.encode(members))


@lru_cache(maxsize=256)
def _batch_members(context: bytes) -> dict[str, msgspec.Raw]:
    """A request's context is decoded once for all its events."""
    try:
        return _decode_fields(context)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Rejected(Reason.UNREADABLE_META, f"context of the request: {error}") from None
