"""inflate: right bytes or a refusal, and never more memory than the limit."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace_ingest.inflate import inflate
from headrace_ingest.limits import INFLATED_LIMIT_BYTES, WIRE_LIMIT_BYTES
from headrace_ingest.refusals import Refusal, RefusalCode

Compress = Callable[[bytes], bytes]


def _raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def _zstd_without_size(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(level=1).compressobj()
    return stream.compress(data) + stream.flush()


COMPRESSORS: dict[str, Compress] = {
    "gzip": partial(gzip.compress, compresslevel=1),
    "deflate": partial(zlib.compress, level=1),
    "zstd": zstandard.ZstdCompressor(level=1).compress,
}
ALL = [*COMPRESSORS.items(), ("deflate", _raw_deflate), ("zstd", _zstd_without_size)]


def refusal(body: bytes, encoding: str) -> RefusalCode:
    with pytest.raises(Refusal) as caught:
        inflate(body, encoding)
    return caught.value.code


@pytest.mark.parametrize(("encoding", "compress"), ALL)
@given(data=st.binary(max_size=5000))
def test_round_trip(encoding: str, compress: Compress, data: bytes) -> None:
    if data or encoding != "zstd":
        assert inflate(compress(data), encoding) == data


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_identity(encoding: str) -> None:
    assert inflate(b"abc", encoding) == b"abc"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "GZIPP", "compress"])
def test_unsupported(encoding: str) -> None:
    assert refusal(b"abc", encoding) is RefusalCode.UNSUPPORTED_ENCODING


@pytest.mark.parametrize(("encoding", "compress"), list(COMPRESSORS.items()))
def test_truncated_and_foreign_bytes_are_broken(encoding: str, compress: Compress) -> None:
    body = compress(os.urandom(500) + b"x" * 500)
    assert refusal(body[:-5], encoding) is RefusalCode.BROKEN_COMPRESSION
    assert refusal(body + b"garbage", encoding) is RefusalCode.BROKEN_COMPRESSION
    assert refusal(b'{"type":"track"}', encoding) is RefusalCode.BROKEN_COMPRESSION


@pytest.mark.parametrize(("encoding", "compress"), list(COMPRESSORS.items()))
def test_a_bomb_is_cut_off(encoding: str, compress: Compress) -> None:
    bomb = compress(b"\0" * (1 << 25))
    assert len(bomb) < WIRE_LIMIT_BYTES
    tracemalloc.start()
    try:
        code = refusal(bomb, encoding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code in {RefusalCode.RATIO_TOO_HIGH, RefusalCode.INFLATED_TOO_LARGE}
    assert peak < 2 * INFLATED_LIMIT_BYTES + (1 << 20)


@pytest.mark.parametrize(("encoding", "compress"), list(COMPRESSORS.items()))
def test_the_inflated_limit_is_exact(encoding: str, compress: Compress) -> None:
    data = os.urandom(INFLATED_LIMIT_BYTES)
    assert inflate(compress(data), encoding) == data
    assert refusal(compress(data + b"x"), encoding) is RefusalCode.INFLATED_TOO_LARGE


def test_small_bodies_may_exceed_the_ratio() -> None:
    data = b'{"type":"track","event":"E"}' * 1000
    assert inflate(gzip.compress(data), "gzip") == data
