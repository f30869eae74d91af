"""Headers of records as bytes: encode once what many records share. Pure.

The encoding is the one of Kafka's record format: a varint count, then per header a varint length and UTF-8 name, a
varint length and value. `Batch.headers` takes such a section in place of pairs, which saves the hot path a loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace_runtime.ports_log import Header

__all__ = ["NO_HEADERS", "encode_headers", "header_pairs", "header_section", "header_value", "varint"]

NO_HEADERS = b"\0"
"""The section of a record without headers."""


def varint(value: int) -> bytes:
    """Zigzag varint of a signed 64-bit value."""
    rest, out = (value << 1) ^ (value >> 63), bytearray()
    while rest >= 128:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def header_value(name: str, value: bytes) -> bytes:
    """One encoded header: a part for `header_section`. Make it once where many records share it."""
    encoded = name.encode()
    return b"".join((varint(len(encoded)), encoded, varint(len(value)), value))


def header_section(parts: Sequence[bytes]) -> bytes:
    """The headers of one record from encoded parts, as `Batch.headers` takes them."""
    return varint(len(parts)) + b"".join(parts)


def encode_headers(pairs: Sequence[Header]) -> bytes:
    """The section of one record from pairs."""
    return header_section([header_value(name, value) for name, value in pairs]) if pairs else NO_HEADERS


def header_pairs(section: bytes) -> list[Header]:
    """The pairs of a section. Raises ValueError where the bytes are no section."""
    count, position = _read_varint(section, 0)
    pairs = []
    for _ in range(count):
        name, position = _read_bytes(section, position)
        value, position = _read_bytes(section, position)
        pairs.append((name.decode(), value))
    if position != len(section):
        raise ValueError("bytes are left over behind the last header")
    return pairs


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError("the header section ends within a number")
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), position
        shift += 7


def _read_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    size, start = _read_varint(data, position)
    if size < 0 or start + size > len(data):
        raise ValueError("the header section ends within a header")
    return data[start : start + size], start + size
