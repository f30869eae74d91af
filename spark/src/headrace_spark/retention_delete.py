"""Deletes what a retention plan dooms, in an order that a crash cannot harm.

Data goes first, then bases are written, then the manifests behind them go. So a manifest never vanishes before a base
stands for it, and what a crash leaves behind is found again by the next run: data objects by their manifests, which are
still there, and manifests by the base that is above them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from headrace_core.errors import RetryLater
from headrace_core.manifest import ChainBase, decode_base, encode_base
from headrace_core.paths import parse_lake_key
from headrace_runtime.errors_store import ObjectNotFound, StoreUnknown
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.lake_store import LakeStore
from headrace_spark.retention_plan import Doomed, RetentionPlan
from headrace_spark.store_lake import read_states

__all__ = ["Deleter"]

_log = logging.getLogger(__name__)
_AT_ONCE = 1_000
"""Keys that one request deletes."""
_TRIES = 5


class Deleter:
    """``deadline_s`` bounds each request; ``check_time`` is asked before each that deletes, and raises where it is late."""

    def __init__(self, store: ObjectStore, *, deadline_s: float, check_time: Callable[[], None]) -> None:
        self._store = store
        self._lake = LakeStore(store, deadline_s=deadline_s)
        self._deadline_s = deadline_s
        self._check_time = check_time

    async def carry_out(self, plan: RetentionPlan) -> list[Doomed]:
        """Delete; what was deleted, which is less than the plan says where a pointer names something by now. Raises
        Unavailable, and RetryLater where another run keeps writing a base: the next attempt goes on."""
        manifests = [doomed for doomed in plan.delete if doomed.why == "behind_base"]
        data = [doomed for doomed in plan.delete if doomed.why != "behind_base"]
        done = await self._delete(data)
        for key, base in plan.bases.items():
            await self._raise_base(key, base)
        return done + await self._delete(manifests)

    async def _delete(self, doomed: Sequence[Doomed]) -> list[Doomed]:
        """In the order of their keys, so that lake objects of a day and the manifests of a chain come together."""
        done: list[Doomed] = []
        in_order = sorted(doomed, key=lambda each: each.key)
        for at in range(0, len(in_order), _AT_ONCE):
            batch = await self._unnamed(in_order[at : at + _AT_ONCE])
            self._check_time()
            await self._store.delete([each.key for each in batch], deadline_s=self._deadline_s)
            done += batch
        return done

    async def _unnamed(self, batch: Sequence[Doomed]) -> list[Doomed]:
        """Those that no pointer names now, whatever the plan saw: an undo may have taken a generation back since."""
        places = (parse_lake_key(doomed.key) for doomed in batch)
        days = sorted({place.event_date for place in places if place is not None})
        states = (await read_states(self._lake, days)).values()
        generations = [state.generation for state in states if state.generation is not None]
        named = {file.key for of in generations for files in of.tables.values() for file in files}
        if taken_back := [doomed.key for doomed in batch if doomed.key in named]:
            _log.warning("A pointer names what was to be deleted; it stays.", extra={"keys": taken_back[:10]})
        return [doomed for doomed in batch if doomed.key not in named]

    async def _raise_base(self, key: str, base: ChainBase) -> None:
        """Write the base, unless one at or above it is there: a base never goes back."""
        for _ in range(_TRIES):
            try:
                if await self._try_base(key, base):
                    return
            except StoreUnknown:
                continue
        raise RetryLater(
            f"The base {key} could not be written.",
            why="Another run wrote it at the same time, or the store gave no clear answer, several times in a row.",
            fix="Nothing: manifests stay until a base stands for them, and the next attempt goes on.",
            code="base_contested",
        )

    async def _try_base(self, key: str, base: ChainBase) -> bool:
        data = encode_base(base)
        try:
            found, etag = await self._store.get_with_etag(key, deadline_s=self._deadline_s)
        except ObjectNotFound:
            return await self._store.put_if_absent(key, data, deadline_s=self._deadline_s)
        if decode_base(found).start >= base.start:
            return True
        return await self._store.replace_if(key, data, etag=etag, deadline_s=self._deadline_s)
