"""A request body that cannot be taken apart into events, and the one way to decode a body."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from headrace_core.dialects.salvage import array_elements
from headrace_core.reasons import Reason

__all__ = ["BodyRejected", "decode_body", "split_array", "trim"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"

T = TypeVar("T")


class BodyRejected(Exception):
    """The whole body is refused. ``reason`` is UNDECODABLE_BODY where it is no JSON, else what is wrong with its shape."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason.code}: {detail}")

    @property
    def is_undecodable(self) -> bool:
        """Whether the body is not even JSON, as opposed to JSON of another shape."""
        return self.reason is Reason.UNDECODABLE_BODY


def trim(body: bytes) -> bytes:
    """The body without a byte order mark, which some clients send, and without white space around its JSON."""
    return body.removeprefix(_BYTE_ORDER_MARK).strip(_SPACE)


def decode_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body; BodyRejected says whether it is no JSON or JSON of another shape."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise BodyRejected(Reason.UNDECODABLE_BODY, "nested too deep to decode") from None
    except msgspec.ValidationError as error:
        _check_syntax(body)  # a wrong shape may be reported before a syntax error further on
        raise BodyRejected(Reason.WRONG_TYPE, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyRejected(Reason.UNDECODABLE_BODY, str(error)) from None


_elements = msgspec.json.Decoder(list[msgspec.Raw])


def split_array(text: bytes) -> list[bytes]:
    """The elements of a JSON array as their own bytes; a bad element is one of them. BodyRejected where it is no array."""
    try:
        return [bytes(element) for element in decode_body(_elements, text)]
    except BodyRejected as refused:
        elements = array_elements(text) if refused.is_undecodable else None
        if elements is None:
            raise
        return elements


_any_json = msgspec.json.Decoder(msgspec.Raw)


def _check_syntax(body: bytes) -> None:
    try:
        _any_json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyRejected(Reason.UNDECODABLE_BODY, str(error)) from None
