"""Decompression that stops early: no body makes more bytes than it may, whatever it promises.

A stream is inflated in one step with the largest allowed output; what would be more than that is never made.
"""

from __future__ import annotations

from collections.abc import Callable

import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

from headrace_ingest.limits import INFLATE_RATIO_LIMIT, INFLATED_LIMIT_BYTES
from headrace_ingest.refusals import Refusal, RefusalCode

__all__ = ["inflate"]

_INFLATE_ERROR: type[Exception] = IsalError  # type: ignore[assignment]  # isal's stub declares an instance
_GZIP_WINDOW = 31
_ZLIB_WINDOW = 15
_RAW_WINDOW = -15
_ZSTD_WINDOW_BYTES = 8 << 20
_RATIO_FREE_BYTES = 64 << 10
"""Small bodies may exceed the ratio: 50 equal events in 1 KB are no bomb."""


def inflate(body: bytes, encoding: str) -> bytes:
    """The body behind one Content-Encoding. Raises Refusal: unsupported, broken, too large, ratio too high."""
    decode = _DECODERS.get(encoding)
    if decode is None:
        raise Refusal(RefusalCode.UNSUPPORTED_ENCODING, f"It is {encoding[:40]!r}.")
    ratio_limit = max(len(body) * INFLATE_RATIO_LIMIT, _RATIO_FREE_BYTES)
    limit = min(ratio_limit, INFLATED_LIMIT_BYTES)
    try:
        data, complete = decode(body, limit + 1)
    except (_INFLATE_ERROR, zstandard.ZstdError, EOFError) as error:
        raise Refusal(RefusalCode.BROKEN_COMPRESSION, str(error)) from None
    if len(data) > limit:
        too_large = limit == INFLATED_LIMIT_BYTES
        raise Refusal(RefusalCode.INFLATED_TOO_LARGE if too_large else RefusalCode.RATIO_TOO_HIGH)
    if not complete:
        raise Refusal(RefusalCode.BROKEN_COMPRESSION, "The stream ends early, or something follows it.")
    return data


def _identity(body: bytes, _: int) -> tuple[bytes, bool]:
    return body, True


def _gzip(body: bytes, limit: int) -> tuple[bytes, bool]:
    return _inflated(body, limit, _GZIP_WINDOW)


def _deflate(body: bytes, limit: int) -> tuple[bytes, bool]:
    """RFC 9110 means zlib; some senders leave its header out. A zlib header has method 8 and a checksum of 31."""
    has_header = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflated(body, limit, _ZLIB_WINDOW if has_header else _RAW_WINDOW)


def _inflated(body: bytes, limit: int, window: int) -> tuple[bytes, bool]:
    stream = isal_zlib.decompressobj(window)
    data: bytes = stream.decompress(body, limit)
    return data, bool(stream.eof) and not stream.unused_data


def _zstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    """Frames one after the other. Their declared size is not believed, only missed; their window is bounded."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with decompressor.stream_reader(body, read_across_frames=True) as stream:
        data = stream.read(limit)
    declared = zstandard.frame_content_size(body)
    return data, bool(data) and len(data) >= min(declared, limit)


_DECODERS: dict[str, Callable[[bytes, int], tuple[bytes, bool]]] = {
    "": _identity,
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
