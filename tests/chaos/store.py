"""A simulated object store: conditional creates are atomic, answers may get lost, writes may land late."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from random import Random

from headrace_runtime.errors_store import ObjectNotFound
from headrace_runtime.ports_store import ObjectInfo

__all__ = ["PendingPut", "ReadableStore", "SimulatedStore"]


@dataclass(frozen=True, slots=True)
class PendingPut:
    """A write whose sender waits no more."""

    key: str
    data: bytes
    create_only: bool
    etag: str | None = None
    """The object that it replaces, and no other."""
    sent_ms: int = 0


class SimulatedStore:
    """Objects by key. `conditional` off: creates overwrite, as a store without If-None-Match would."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.objects: dict[str, bytes] = {}
        self.writes: list[str] = []
        """Keys in the order in which they were written."""
        self.torn: set[str] = set()
        """Keys whose bytes come back damaged."""
        self.conditional = True
        self._pending: list[PendingPut] = []

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.objects[key] = data
        self.writes.append(key)

    def create(self, key: str, data: bytes) -> bool:
        """Create an object; False where the key exists."""
        if key in self.objects and self.conditional:
            return False
        self.put(key, data)
        return True

    def etag(self, key: str) -> str | None:
        """The etag of the object's bytes, as S3 makes it: a digest; None where there is none."""
        data = self.objects.get(key)
        return None if data is None else hashlib.md5(data, usedforsecurity=False).hexdigest()

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Replace the object that has this etag; False where it is another one."""
        if self.etag(key) != etag:
            return False
        self.put(key, data)
        return True

    def get(self, key: str) -> bytes | None:
        """The object's bytes, None where there is none."""
        data = self.objects.get(key)
        return data if data is None or key not in self.torn else data[:-1] + bytes((data[-1] ^ 1,))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.objects.pop(key, None)

    def send_late(
        self, key: str, data: bytes, *, create_only: bool, etag: str | None = None, now_ms: int = 0
    ) -> None:
        """A write that nobody waits for: it may land at any later step, or never."""
        if self._rng.random() < 0.6:
            self._pending.append(PendingPut(key, data, create_only, etag, now_ms))

    def forget_sent_before(self, ms: int) -> None:
        """Conditional writes of days that were sent this long ago land no more."""
        self._pending = [write for write in self._pending if not 0 < write.sent_ms < ms]

    @property
    def pending(self) -> bool:
        """Whether a late write may still land."""
        return bool(self._pending)

    def land_one(self) -> PendingPut | None:
        """Let one late write land."""
        if not self._pending:
            return None
        write = self._pending.pop(self._rng.randrange(len(self._pending)))
        if write.etag is not None:
            self.replace(write.key, write.data, write.etag)
        elif write.create_only:
            self.create(write.key, write.data)
        else:
            self.put(write.key, write.data)
        return write

    def lose_all(self) -> None:
        """No late write will land."""
        self._pending.clear()


class ReadableStore:
    """The store as the port that readers are given. Its calls never wait; nobody writes through it."""

    def __init__(self, store: SimulatedStore) -> None:
        self._store = store

    async def get(self, key: str, *, deadline_s: float) -> bytes:
        """See `ObjectStore`."""
        data = self._store.get(key)
        if data is None:
            raise ObjectNotFound(
                f"There is no object {key}.", fix="Look who named it.", code="object_not_found"
            )
        return data

    async def get_with_etag(self, key: str, *, deadline_s: float) -> tuple[bytes, str]:
        """See `ObjectStore`."""
        return await self.get(key, deadline_s=deadline_s), self._store.etag(key) or ""

    async def get_range(self, key: str, start: int, end: int, *, deadline_s: float) -> bytes:
        """See `ObjectStore`."""
        return (await self.get(key, deadline_s=deadline_s))[start:end]

    async def exists(self, key: str, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        return key in self._store.objects

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        """See `ObjectStore`."""
        keys = sorted(
            key for key in self._store.objects if key.startswith(prefix) and key > (start_after or "")
        )
        return [ObjectInfo(key, len(self._store.objects[key]), "etag", 0) for key in keys[:limit]]

    async def put(self, key: str, data: bytes, *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        raise NotImplementedError

    async def put_if_absent(self, key: str, data: bytes, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        raise NotImplementedError

    async def replace_if(self, key: str, data: bytes, *, etag: str, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        raise NotImplementedError

    async def delete(self, keys: Collection[str], *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        raise NotImplementedError
