"""The object store port in this process: for unit tests, simulations and planted faults.

Same contract as `headrace_runtime.s3`. `MemoryObjectStore.faults` decides about the next writes, in order.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from headrace_runtime.errors_store import ObjectNotFound, StoreUnavailable, StoreUnknown
from headrace_runtime.ports_store import ObjectInfo

__all__ = ["MemoryObjectStore", "WriteFault"]


@dataclass(frozen=True, slots=True)
class WriteFault:
    """What becomes of one write whose answer is lost: whether it was applied all the same."""

    applied: bool


@dataclass(frozen=True, slots=True)
class _Stored:
    data: bytes
    etag: str
    modified_ms: int


@dataclass(slots=True)
class MemoryObjectStore:
    """`ObjectStore` in memory. `now_ms` stamps writes; a fault in `faults` takes away the answer of the next write."""

    now_ms: Callable[[], int] = lambda: 0
    faults: deque[WriteFault] = field(default_factory=deque)
    _objects: dict[str, _Stored] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)
    _writes: int = 0

    async def put(self, key: str, data: bytes, *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        await self._write(key, data, StoreUnavailable)

    async def put_if_absent(self, key: str, data: bytes, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        await asyncio.sleep(0)
        if key in self._objects:
            return False
        await self._write(key, data, StoreUnknown)
        return True

    async def replace_if(self, key: str, data: bytes, *, etag: str, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        await asyncio.sleep(0)
        found = self._objects.get(key)
        if found is None or found.etag != etag:
            return False
        await self._write(key, data, StoreUnknown)
        return True

    async def _write(self, key: str, data: bytes, error: type[StoreUnavailable]) -> None:
        """Never waits, so that a condition that was checked just before still holds."""
        fault = self.faults.popleft() if self.faults else None
        if fault is None or fault.applied:
            self._store(key, data)
        if fault is not None:
            raise error(
                "A write to the object store got no answer.",
                why=f"A planted fault at {key}.",
                fix="Read the key again.",
                code="store_unavailable",
            )

    def _store(self, key: str, data: bytes) -> None:
        if key not in self._objects:
            self._keys.insert(bisect_left(self._keys, key.encode(), key=str.encode), key)
        self._writes += 1
        etag = f'"{hashlib.sha256(data).hexdigest()[:24]}-{self._writes}"'
        self._objects[key] = _Stored(bytes(data), etag, self.now_ms())

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        """See `ObjectStore`."""
        return self._found(key).data

    async def get_with_etag(self, key: str, *, deadline_s: float) -> tuple[bytes, str]:
        """See `ObjectStore`."""
        found = self._found(key)
        return found.data, found.etag

    async def get_range(self, key: str, start: int, end: int, *, deadline_s: float) -> bytes:
        """See `ObjectStore`."""
        data = self._found(key).data
        if not 0 <= start < min(end, len(data)):
            raise ValueError(f"the range {start} to {end} holds nothing of {len(data)} bytes")
        return data[start:end]

    def _found(self, key: str) -> _Stored:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(
                f"There is no object {key}.",
                fix="Look for the manifest or pointer that named it.",
                code="object_not_found",
            ) from None

    async def exists(self, key: str, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        return key in self._objects

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        """See `ObjectStore`."""
        if not prefix.endswith("/"):
            raise ValueError(f"{prefix!r} is no folder: it must end in '/'")
        start = bisect_left(self._keys, prefix.encode(), key=str.encode)
        if start_after is not None:
            start = max(start, bisect_right(self._keys, start_after.encode(), key=str.encode))
        found: list[ObjectInfo] = []
        while start < len(self._keys) and self._keys[start].startswith(prefix) and len(found) != limit:
            key = self._keys[start]
            entry = self._objects[key]
            found.append(ObjectInfo(key, len(entry.data), entry.etag, entry.modified_ms))
            start += 1
        return found

    async def delete(self, keys: Collection[str], *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        for key in keys:
            if self._objects.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key.encode(), key=str.encode)]
