"""Loaders under the adversary: the project's load procedure, driven step by step, without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from tests.chaos.guards import Guard
from tests.chaos.warehouse import SimulatedSession, SimulatedWarehouse, pause

from headrace_core.errors import BadData, Unavailable
from headrace_loader.load import UnreadFile, load_in_order
from headrace_loader.load_discovery import LoadDiscovery
from headrace_loader.load_files import CheckedFile, ManifestFile, check_file
from headrace_loader.load_plan import LoadLimits
from headrace_loader.warehouse import WarehouseSession

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["LoaderActor"]


class _Connections:
    """The warehouse as one process sees it; it remembers its sessions, so that a crash can leave them behind."""

    def __init__(self, warehouse: SimulatedWarehouse, slot: str) -> None:
        self._warehouse, self._slot = warehouse, slot
        self.opened: list[SimulatedSession] = []

    async def session(self) -> WarehouseSession:
        await pause()
        opened = self._warehouse.connect(self._slot)
        self.opened.append(opened)
        return opened

    async def loaded_up_to(self) -> dict[int, int]:
        return await self._warehouse.loaded_up_to()

    async def settled_files(self, file_ids: Any) -> set[int]:
        return await self._warehouse.settled_files(file_ids)

    async def released_positions(self) -> list[tuple[int, int]]:
        return await self._warehouse.released_positions()


class LoaderActor:
    """One load process. Workers of one slot share a stage table, as a zombie and its successor do."""

    def __init__(self, world: World, slot: str) -> None:
        self._world, self._slot = world, slot
        self.asleep_until = 0
        self._connections: _Connections | None = None
        self._discovery: LoadDiscovery | None = None
        self._work: Coroutine[Any, Any, None] | None = None
        self.idle = False
        """Whether the last look found nothing to load."""

    def step(self) -> None:
        """Let the adversary choose what happens to this process next."""
        world, chance = self._world, self._world.rng.random()
        if self._work is not None and chance < world.settings.loader_crash:
            world.note("loader crashed")
            self.crash()
        elif chance > 0.98:
            self.asleep_until = world.steps + world.rng.choice((20, 80))
        else:
            self.advance()

    def crash(self) -> None:
        """The process is gone; its open transaction is the server's."""
        if self._connections is not None:
            for session in self._connections.opened:
                session.lose_client()
        if self._work is not None:
            self._work.close()
        self._work = self._connections = self._discovery = None

    def advance(self) -> None:
        """What a process does when nothing goes wrong: one step of the load, or a new look at the chains."""
        if self._work is None:
            self._look()
            return
        try:
            self._work.send(None)
            self._doze()
        except StopIteration:
            self._work = None
        except Unavailable:
            self._world.note("load tried again")
            self._work = None

    def _doze(self) -> None:
        """Beside batch jobs a load sleeps between its decision and its commit, now and then."""
        world = self._world
        if world.settings.days and world.warehouse.has_decided:
            world.warehouse.has_decided = False
            if not world.calm and world.rng.random() < 0.3:
                self.asleep_until = world.steps + world.rng.choice((5, 20))

    def _look(self) -> None:
        """One reading of chains and ledger; what follows is done step by step."""
        world = self._world
        if self._connections is None or self._discovery is None:
            self._connections = _Connections(world.warehouse, self._slot)
            self._discovery = world.new_discovery(self._connections)
        world.at_once(self._discovery.look())
        rows = 1_000 if world.calm else world.rng.choice((1, 4, 1_000))
        files = self._discovery.next_files(LoadLimits(rows=rows))
        self.idle = not files
        if files:
            self._work = self._load(self._connections, self._discovery, files)

    async def _load(
        self, connections: _Connections, discovery: LoadDiscovery, entries: Sequence[ManifestFile]
    ) -> None:
        """As a cycle of the load worker."""
        fetched: list[CheckedFile | UnreadFile] = []
        for entry in entries:
            await pause()
            fetched.append(self._fetched(entry))
        now_us = self._world.now_ms * 1000
        if Guard.SETTLED_IN_CHAIN_ORDER in self._world.without:
            fetched.sort(key=lambda file: isinstance(file, CheckedFile))
        result = await load_in_order(connections, fetched, now_us=now_us, writer=self._slot)
        discovery.settle([*result.loaded, *(each.file_id for each in result.set_aside)])

    def _fetched(self, entry: ManifestFile) -> CheckedFile | UnreadFile:
        content = self._world.store.get(entry.file.key)
        try:
            if content is None:
                raise BadData("A staged file is missing.", why=entry.file.key, code="file_missing")
            return check_file(entry, content)
        except BadData as error:
            return UnreadFile(entry, error)
