"""A simulated object store: conditional creates are atomic, answers may get lost, writes may land late."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["PendingPut", "SimulatedStore"]


@dataclass(frozen=True, slots=True)
class PendingPut:
    """A write whose sender waits no more."""

    key: str
    data: bytes
    create_only: bool


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

    def get(self, key: str) -> bytes | None:
        """The object's bytes, None where there is none."""
        data = self.objects.get(key)
        return data if data is None or key not in self.torn else data[:-1] + bytes((data[-1] ^ 1,))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.objects.pop(key, None)

    def send_late(self, key: str, data: bytes, *, create_only: bool) -> None:
        """A write that nobody waits for: it may land at any later step, or never."""
        if self._rng.random() < 0.6:
            self._pending.append(PendingPut(key, data, create_only))

    @property
    def pending(self) -> bool:
        """Whether a late write may still land."""
        return bool(self._pending)

    def land_one(self) -> PendingPut | None:
        """Let one late write land."""
        if not self._pending:
            return None
        write = self._pending.pop(self._rng.randrange(len(self._pending)))
        if write.create_only:
            self.create(write.key, write.data)
        else:
            self.put(write.key, write.data)
        return write

    def lose_all(self) -> None:
        """No late write will land."""
        self._pending.clear()
