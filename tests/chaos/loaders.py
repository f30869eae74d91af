"""Loaders under the adversary: the project's load procedure, driven step by step, without an event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.chaos.guards import Guard
from tests.chaos.warehouse import SimulatedSession, SimulatedWarehouse, pause

from headrace_core.errors import BadData, Unavailable
from headrace_loader.load import load_files, set_aside_files
from headrace_loader.load_files import CheckedFile, ManifestFile, check_file, files_of
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
        self._work: Coroutine[Any, Any, None] | None = None

    @property
    def idle(self) -> bool:
        """Whether no load is in progress."""
        return self._work is None

    def step(self) -> None:
        """Let the adversary choose what happens to this process next."""
        world, chance = self._world, self._world.rng.random()
        if self._work is not None and chance < 0.03:
            world.note("loader crashed")
            self.crash()
        elif chance < 0.05:
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
        self._work = self._connections = None

    def advance(self) -> None:
        """What a process does when nothing goes wrong: one step of the load, or a new load."""
        if self._work is None:
            self._begin()
            return
        try:
            self._work.send(None)
        except StopIteration:
            self._work = self._connections = None
        except Unavailable:
            self._world.note("load tried again")
            self._work = self._connections = None

    def _begin(self) -> None:
        world = self._world
        todo = self.unsettled()
        if not todo:
            return
        take = len(todo) if world.calm else world.rng.choice((1, 2, 4))
        self._connections = _Connections(world.warehouse, self._slot)
        self._work = self._load(self._connections, todo[:take])

    def unsettled(self) -> list[ManifestFile]:
        """Files of the chains that are neither loaded nor set aside, each partition's in chain order."""
        warehouse = self._world.warehouse
        known = warehouse.ledger.keys() | (warehouse.errors.keys() - warehouse.released)
        if Guard.LEDGER_CHECK in warehouse.without and not self._world.calm:
            known = set()
        partitions = list(range(self._world.partition_count))
        self._world.rng.shuffle(partitions)
        return [
            entry
            for partition in partitions
            for manifest in self._world.chains.events(partition)
            for entry in files_of(manifest)
            if entry.file_id not in known
        ]

    async def _load(self, connections: _Connections, entries: list[ManifestFile]) -> None:
        checked: list[CheckedFile] = []
        failures: list[tuple[ManifestFile, BadData]] = []
        for entry in entries:
            await pause()
            try:
                checked.append(self._checked(entry))
            except BadData as error:
                failures.append((entry, error))
        now_us = self._world.now_ms * 1000
        await set_aside_files(connections, failures, now_us=now_us)
        await load_files(connections, checked, now_us=now_us, writer=self._slot)

    def _checked(self, entry: ManifestFile) -> CheckedFile:
        content = self._world.store.get(entry.file.key)
        if content is None:
            raise BadData(
                "A staged file is missing.", why=entry.file.key, fix="restore it", code="file_missing"
            )
        return check_file(entry, content)
