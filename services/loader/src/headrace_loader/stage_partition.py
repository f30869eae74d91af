"""One partition in a stage worker: feeds the stager, and carries its actions out one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from headrace_core.clock import Clock
from headrace_core.errors import Unavailable
from headrace_core.manifest import encode_manifest
from headrace_loader.chain import ChainReader
from headrace_loader.stage_messages import (
    Action,
    Announce,
    Build,
    Built,
    ChainRead,
    ChainUnread,
    Contents,
    CreateManifest,
    Cut,
    Event,
    ManifestCreated,
    ObjectsPut,
    ObjectsUnput,
    PutObjects,
    ReadChain,
    Seek,
)
from headrace_loader.stager import Stager
from headrace_runtime.errors_store import StoreUnavailable
from headrace_runtime.ports_store import ObjectStore

__all__ = ["PartitionStage", "StageTools"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StageTools:
    """What all partitions of a worker share. `store_state` hears None after an answer of the store, else what failed."""

    store: ObjectStore
    clock: Clock
    store_deadline_s: float
    build: Callable[[Cut[Any]], Awaitable[Contents]]
    announce: Callable[[Announce], None]
    store_state: Callable[[Unavailable | None], None]
    lost_race: Callable[[], None]


class PartitionStage:
    """`run` ends only by cancellation or by an error that stops the process."""

    def __init__(self, stager: Stager[Any], chain: ChainReader, tools: StageTools) -> None:
        self.stager = stager
        self.seek_to: int | None = None
        """Where the worker has to read from next; the worker sets it back to None."""
        self._chain = chain
        self._tools = tools
        # One request is under way at a time, and an announcement may stand before the next one.
        self._actions: asyncio.Queue[Action[Any]] = asyncio.Queue(maxsize=8)

    async def run(self) -> None:
        """Carry out actions until cancelled."""
        self._take(self.stager.start())
        while True:
            answer = await self._carry_out(await self._actions.get())
            if answer is not None:
                self.feed(answer)

    def feed(self, event: Event) -> None:
        """Tell the stager what happened."""
        clock = self._tools.clock
        self._take(self.stager.handle(event, now_s=clock.monotonic_s(), now_ms=clock.now_ms()))

    def _take(self, actions: list[Action[Any]]) -> None:
        for action in actions:
            match action:
                case Seek(offset=offset):
                    self.seek_to = offset
                case Announce():
                    self._tools.announce(action)
                case _:
                    self._actions.put_nowait(action)

    async def _carry_out(self, action: Action[Any]) -> Event | None:
        match action:
            case ReadChain(delay_s=delay_s):
                await asyncio.sleep(delay_s)
                return await self._read_chain()
            case Build(ticket=ticket, cut=cut):
                return Built(ticket, await self._tools.build(cut))
            case PutObjects():
                await asyncio.sleep(action.delay_s)
                return await self._put(action)
            case CreateManifest():
                return await self._create(action)
            case Seek() | Announce():
                return None

    async def _read_chain(self) -> Event:
        try:
            end = await self._chain.read_end()
        except StoreUnavailable as error:
            self._tools.store_state(error)
            return ChainUnread()
        self._tools.store_state(None)
        return ChainRead(end)

    async def _put(self, action: PutObjects) -> Event:
        try:
            for key, data in action.objects:
                await self._tools.store.put(key, data, deadline_s=self._tools.store_deadline_s)
        except StoreUnavailable as error:
            self._tools.store_state(error)
            return ObjectsUnput(action.ticket)
        self._tools.store_state(None)
        return ObjectsPut(action.ticket)

    async def _create(self, action: CreateManifest) -> Event:
        data, deadline_s = encode_manifest(action.manifest), self._tools.store_deadline_s
        try:
            won = await self._tools.store.put_if_absent(action.key, data, deadline_s=deadline_s)
        except StoreUnavailable as error:
            self._tools.store_state(error)
            return ManifestCreated(action.ticket, "unknown")
        self._tools.store_state(None)
        if not won:
            self._tools.lost_race()
            _log.info("Another writer made the manifest; the chain is read again.", extra={"key": action.key})
        return ManifestCreated(action.ticket, "won" if won else "lost")
