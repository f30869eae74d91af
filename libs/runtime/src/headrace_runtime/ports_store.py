"""Port of the object store: what services ask of S3, free of any client library.

Keys are made by `headrace_core.paths`. Every call takes a deadline in seconds, within which it returns or raises.
Reads see every write that was answered before (S3 is strongly consistent). The adapters are `headrace_runtime.s3` and
`headrace_runtime.memory_store`; one contract suite holds both to what is written here, on two S3 servers. The errors
are in `headrace_runtime.errors_store`; every call may raise StoreUnavailable and StoreDenied.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

__all__ = ["ObjectInfo", "ObjectStore"]


class ObjectInfo(NamedTuple):
    """One object of a listing. `etag` is opaque: it goes back into `replace_if` as it came."""

    key: str
    bytes: int
    etag: str
    modified_ms: int


class ObjectStore(Protocol):
    """A bucket. Conditional writes are single requests and atomic: of many racing writers exactly one wins."""

    async def put(self, key: str, data: bytes, *, deadline_s: float) -> None:
        """Write an object, in place of one that is there. Repeated inside; readers never see a part of it."""

    async def put_if_absent(self, key: str, data: bytes, *, deadline_s: float) -> bool:
        """Create an object (If-None-Match: *). False: the key exists, which may be this very call's own write if the
        network repeated it. Raises StoreUnknown where no clear answer came: read the key again."""

    async def replace_if(self, key: str, data: bytes, *, etag: str, deadline_s: float) -> bool:
        """Replace the object that has this etag (If-Match). False: it has another one, or is gone. Raises StoreUnknown."""

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        """The whole object. Raises ObjectNotFound."""

    async def get_with_etag(self, key: str, *, deadline_s: float) -> tuple[bytes, str]:
        """The whole object and the etag of just these bytes. Raises ObjectNotFound."""

    async def get_range(self, key: str, start: int, end: int, *, deadline_s: float) -> bytes:
        """Bytes from `start` to `end` (exclusive, above `start`); fewer where the object ends before.
        Raises ObjectNotFound; ValueError where the range is empty or begins behind the object's end."""

    async def exists(self, key: str, *, deadline_s: float) -> bool:
        """Whether an object has the key."""

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        """Objects under a folder (`prefix` ends in '/'), in order of their keys' bytes: those behind `start_after`, at
        most `limit`. Costs one request per 1,000 keys returned. Raises ValueError where `prefix` is no folder."""

    async def delete(self, keys: Collection[str], *, deadline_s: float) -> None:
        """Delete objects; a key without one is passed over."""
