"""The raw archive: one raw record as one JSON line, from which the record can be made again byte for byte.

Line: {o offset, t append time ms, k key as hex, m request metadata, i index in the request, r rerun reference, e the
event as a JSON string}. Members without a value are left out. What is not UTF-8, or not the JSON that it should be,
stands as base64 in b (event), mb (metadata) or rb (reference) instead.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from headrace_core.errors import BadData
from headrace_core.raw_json import OptionalRaw

__all__ = ["RAW_LINES_VERSION", "RawRecord", "decode_raw_line", "raw_line_encoder"]

RAW_LINES_VERSION = 1


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of events.raw as archived: its value and headers verbatim."""

    offset: int
    appended_ms: int
    key: bytes | None
    value: bytes
    meta: bytes | None = None
    index: int | None = None
    rerun: bytes | None = None


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
    o: int
    t: int
    k: str | None = None
    m: OptionalRaw = None
    mb: str | None = None
    i: int | None = None
    r: OptionalRaw = None
    rb: str | None = None
    e: str | None = None
    b: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode
_is_json = msgspec.json.Decoder(msgspec.Raw).decode


def raw_line_encoder() -> Callable[[RawRecord], bytes]:
    """A function from a record to its line, without the line's end. It remembers the metadata of the last request."""
    known: tuple[bytes | None, msgspec.Raw | None] = (None, None)

    def encode(record: RawRecord) -> bytes:
        nonlocal known
        if record.meta != known[0]:
            known = (record.meta, _nested(record.meta))
        event = _text(record.value)
        rerun = _nested(record.rerun)
        return _encode(
            _Line(
                o=record.offset,
                t=record.appended_ms,
                k=None if record.key is None else record.key.hex(),
                m=known[1],
                mb=_base64(record.meta) if known[1] is None else None,
                i=record.index,
                r=rerun,
                rb=_base64(record.rerun) if rerun is None else None,
                e=event,
                b=_base64(record.value) if event is None else None,
            )
        )

    return encode


def decode_raw_line(line: bytes) -> RawRecord:
    """The record that a line was made of; BadData where it is none."""
    try:
        found = _decode(line)
        value = found.e.encode() if found.e is not None else b64decode(found.b or "", validate=True)
        return RawRecord(
            offset=found.o,
            appended_ms=found.t,
            key=None if found.k is None else bytes.fromhex(found.k),
            value=value,
            meta=_bytes_of(found.m, found.mb),
            index=found.i,
            rerun=_bytes_of(found.r, found.rb),
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadData(
            "A line of the raw archive cannot be read.",
            why=str(error),
            fix="Compare the object with the sha256 in its manifest and restore it from its bucket version.",
            code="raw_line_unreadable",
        ) from error


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _nested(value: bytes | None) -> msgspec.Raw | None:
    """JSON as it stands, where it is JSON that keeps to one line."""
    if value is None or b"\n" in value or b"\r" in value or _text(value) is None:
        return None
    try:
        _is_json(value)
    except msgspec.MsgspecError:
        return None
    return msgspec.Raw(value)


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _bytes_of(nested: msgspec.Raw | None, encoded: str | None) -> bytes | None:
    if nested is not None:
        return bytes(nested)
    return None if encoded is None else b64decode(encoded, validate=True)
