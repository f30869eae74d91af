"""Identity: event id, dedup id, partition, fingerprint. One definition for ingest, dedup, the Lambda and batch jobs.

The golden vectors in tests/data hold these functions still: a changed result would make every event new again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import msgspec
from xxhash import xxh3_64_intdigest, xxh3_128_digest, xxh3_128_hexdigest, xxh64_hexdigest

from headrace_core.meta import RerunReference

__all__ = [
    "FINGERPRINT_VERSION",
    "IdSource",
    "content_of",
    "dedup_id",
    "event_id",
    "file_id",
    "fingerprint",
    "partition_of",
    "session_key",
]

FINGERPRINT_VERSION = 1
"""Rises when the fingerprint of any event may change; fingerprints of different versions compare as equal."""

IdSource = Literal["client", "derived", "server", "rerun"]


content_of: Callable[[tuple[str | memoryview | None, ...]], bytes] = msgspec.msgpack.Encoder().encode
"""The fingerprint fields as a MessagePack array: each as UTF-8 with its length before it, a missing one as nil."""

fingerprint: Callable[[bytes], int] = xxh3_64_intdigest
"""The 64-bit fingerprint of what the client said (``content_of`` its allow-listed fields)."""


def event_id(
    *,
    client_id: str | None,
    has_client_time: bool,
    content: bytes,
    request_id: str,
    index: int,
    rerun: RerunReference | None,
) -> tuple[str, IdSource]:
    """The event's id and where it comes from (design 3.1, rule R2).

    The client's own id first; without one a hash of the content if the client gave a time, since then two equal events
    are the same event; else one that only this record has.
    """
    if rerun is not None and (rerun.new_id or not (client_id or has_client_time)):
        return rerun.as_text(), "rerun"
    if client_id:
        return client_id, "client"
    if has_client_time:
        return xxh3_128_hexdigest(content), "derived"
    return f"{request_id}-{index}", "server"


def dedup_id(source: str, identifier: str) -> bytes:
    """16 bytes that stand for (source, event id): xxh3_128 over u16 length, source, event id in UTF-8, not normalised."""
    return xxh3_128_digest(_scope(source) + identifier.encode())


@lru_cache(maxsize=1024)
def _scope(source: str) -> bytes:
    name = source.encode()
    return len(name).to_bytes(2, "big") + name


def partition_of(identity: bytes, partitions: int) -> int:
    """The partition of a dedup id: its high 64 bits modulo the partition count."""
    return int.from_bytes(identity[:8], "big") % partitions


def file_id(object_key: str) -> int:
    """The signed 64-bit id of a staged object: a hash of its key, mapped by ops.load_ledger, which fails on a collision."""
    unsigned = xxh3_64_intdigest(object_key.encode())
    return unsigned - (1 << 64) if unsigned >= 1 << 63 else unsigned


_SESSION_SEED = 42
"""The seed that Spark's function of the name has."""


def session_key(source: str, user_key: str, started_us: int) -> str:
    """The key of the session that begins at a UTC microsecond: 16 hex digits of xxhash64, with NUL between the parts."""
    return xxh64_hexdigest(f"{source}\0{user_key}\0{started_us}".encode(), seed=_SESSION_SEED)
