"""The simulated object store as the port that a batch job's process is given: every call that could see or change what
another process changes is a turn of its own, and conditional writes may lose their answer or land late.

Objects that are written once (manifests, plans, generations, data) are read without a turn: when they are read makes no
difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from tests.chaos.processes import DECISIVE, Turns
from tests.chaos.store import ReadableStore

from headrace_core.paths import parse_pointer_key, parse_run_key, pointers_prefix
from headrace_runtime.errors_store import StoreUnavailable, StoreUnknown
from headrace_runtime.ports_store import ObjectInfo

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["JobStore"]

_BEFORE_PLAN = 0.4
"""How often a run sleeps before it stores the edges of a plan, which is stored next."""


class JobStore(ReadableStore):
    """`headrace_runtime.ports_store.ObjectStore` for one process."""

    def __init__(self, world: World, turns: Turns) -> None:
        super().__init__(world.store)
        self._world, self._turns = world, turns
        self._is_down = False
        """Whether the next reading gets no answer."""

    async def get_with_etag(self, key: str, *, deadline_s: float) -> tuple[bytes, str]:
        """See `ObjectStore`."""
        await self._turns.turn()
        if self._is_down:
            self._is_down = False
            raise self._unavailable()
        return await super().get_with_etag(key, deadline_s=deadline_s)

    async def list(
        self, prefix: str, *, start_after: str | None = None, limit: int | None = None, deadline_s: float
    ) -> list[ObjectInfo]:
        """See `ObjectStore`."""
        await self._turns.turn(decisive=DECISIVE * (prefix == pointers_prefix()))
        if self._world.chance() < 0.004:
            raise self._unavailable()
        return await super().list(prefix, start_after=start_after, limit=limit, deadline_s=deadline_s)

    async def put(self, key: str, data: bytes, *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        await self._turns.turn()
        self._store.put(key, data)

    async def put_if_absent(self, key: str, data: bytes, *, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        place = parse_run_key(key)
        plans_next = place is not None and place.name == "edges.jsonl.zst"
        await self._turns.turn(
            decisive=_BEFORE_PLAN if plans_next else DECISIVE * (parse_pointer_key(key) is not None)
        )
        return self._conditional(key, data, None, lambda: self._store.create(key, data))

    async def replace_if(self, key: str, data: bytes, *, etag: str, deadline_s: float) -> bool:
        """See `ObjectStore`."""
        await self._turns.turn(decisive=DECISIVE * (parse_pointer_key(key) is not None))
        return self._conditional(key, data, etag, lambda: self._store.replace(key, data, etag))

    def _conditional(self, key: str, data: bytes, etag: str | None, write: Callable[[], bool]) -> bool:
        """Answered; carried out with the answer lost; late or never. The store may be down for a moment then."""
        chance, unanswered = self._world.chance(), self._world.settings.unanswered
        if chance < unanswered:
            self._is_down = self._world.chance() < 0.3
        if chance < unanswered / 2:
            now_ms = self._world.now_ms
            self._store.send_late(key, data, create_only=etag is None, etag=etag, now_ms=now_ms)
            raise self._unknown(key)
        done = write()
        if chance < unanswered:
            raise self._unknown(key)
        return done

    @staticmethod
    def _unknown(key: str) -> StoreUnknown:
        return StoreUnknown(f"No answer to a write of {key}.", why="the adversary", code="store_unknown")

    @staticmethod
    def _unavailable() -> StoreUnavailable:
        return StoreUnavailable("No answer.", why="the adversary", fix="try again", code="store_down")

    async def delete(self, keys: Collection[str], *, deadline_s: float) -> None:
        """See `ObjectStore`."""
        await self._turns.turn()
        for key in keys:
            self._store.delete(key)
