"""Stagers under the adversary: the project's own stage machine, its log and object store simulated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from tests.chaos.machines import TOPICS

from headrace_core.manifest import encode_manifest
from headrace_core.paths import ChainKind
from headrace_loader.stage_messages import (
    Action,
    Announce,
    Build,
    Built,
    ChainRead,
    ChainUnread,
    CreateManifest,
    Event,
    Fetched,
    ManifestCreated,
    ObjectsPut,
    ObjectsUnput,
    PutObjects,
    ReadChain,
    Seek,
    Tick,
)
from headrace_loader.stager import Stager

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["StagerActor"]


class StagerActor:
    """One process that stages one chain of one partition."""

    def __init__(self, world: World, kind: ChainKind, partition: int) -> None:
        self._world, self.kind, self.partition = world, kind, partition
        self.asleep_until = 0
        self.machine: Stager[Any] | None = None
        self._reader = world.new_chain_reader(self)
        self._inbox: deque[Callable[[], Event]] = deque()
        self._in_flight: list[tuple[str, bytes, bool]] = []
        self._due = False

    def crash(self) -> None:
        """The process is gone; what it was writing may land late."""
        for key, data, create_only in self._in_flight:
            self._world.store.send_late(key, data, create_only=create_only)
        self._in_flight.clear()
        self.machine = None

    def step(self) -> None:
        """Let the adversary choose what happens to this process next."""
        world = self._world
        chance = world.rng.random()
        if self.machine is not None and chance < 0.02:
            world.note("stager crashed")
            self.crash()
        elif chance < 0.05:
            self.asleep_until = world.steps + world.rng.choice((20, 80, 600))
        else:
            self.advance()

    def advance(self) -> None:
        """What a process does when nothing goes wrong: the next event."""
        if self.machine is None:
            self._inbox.clear()
            self._reader = self._world.new_chain_reader(self)
            self.machine = self._world.new_stager(self)
            for action in self.machine.start():
                self._carry_out(action)
        elif self._inbox:
            self._handle(self._inbox.popleft()())
        elif (
            self.machine.wants_records
            and self._to_read()
            and (not self._due or self._world.rng.random() < 0.5)
        ):
            self._fetch()
        elif self._due and not self.machine.busy:
            self._due = False
            self._handle(Tick())

    @property
    def settled(self) -> bool:
        """Whether all there is has been staged and announced."""
        machine = self.machine
        return (
            machine is not None
            and machine.position is not None
            and not (self._inbox or self._due or machine.busy or machine.gathered_bytes or self._to_read())
        )

    def _to_read(self) -> bool:
        position = self.machine.position if self.machine else None
        return position is not None and position < self._world.log.end((self._topic, self.partition))

    @property
    def _topic(self) -> str:
        return TOPICS[self.kind]

    def _fetch(self) -> None:
        assert self.machine is not None
        start = self.machine.position
        assert start is not None
        log, partition = self._world.log, (self._topic, self.partition)
        if start < log.start(partition):
            self._world.note("slept past retention")
            self.crash()
            return
        records = log.read(partition, start)[: self._world.rng.choice((1, 2, 4, 6))]
        next_offset = records[-1].offset + 1 if records else log.end(partition)
        self._due = True
        self._handle(Fetched(start, records, next_offset))

    def _handle(self, event: Event) -> None:
        world = self._world
        assert self.machine is not None
        # A tick comes when the oldest record has waited long enough: the machine's own clock says so.
        now_s = world.now_ms / 1000 + (1e9 if isinstance(event, Tick) else 0)
        world.say(f"stager {self.partition} <- {event}")
        for action in self.machine.handle(event, now_s=now_s, now_ms=world.now_ms):
            world.say(f"stager {self.partition} -> {action}")
            self._carry_out(action)

    def _carry_out(self, action: Action[Any]) -> None:
        match action:
            case ReadChain():
                self._inbox.append(self._read_chain)
            case Build(ticket, cut):
                self._inbox.append(lambda: Built(ticket, self._world.build(cut)))
            case PutObjects(ticket, objects):
                self._in_flight = [(key, data, False) for key, data in objects]
                self._inbox.append(lambda: self._put(ticket))
            case CreateManifest(ticket, key, manifest, if_absent):
                self._in_flight = [(key, encode_manifest(manifest), if_absent)]
                self._inbox.append(lambda: self._create(ticket))
            case Seek() | Announce():
                pass

    def _read_chain(self) -> Event:
        world = self._world
        if not world.calm and world.rng.random() < 0.03:
            return ChainUnread()
        return ChainRead(world.at_once(self._reader.read_end()))

    def _put(self, ticket: int) -> Event:
        world, chance = self._world, 1.0 if self._world.calm else self._world.rng.random()
        writes, self._in_flight = self._in_flight, []
        for key, data, _ in writes:
            if chance < 0.03:
                world.store.send_late(key, data, create_only=False)
            else:
                world.store.put(key, data)
        return ObjectsUnput(ticket) if chance < 0.06 else ObjectsPut(ticket)

    def _create(self, ticket: int) -> Event:
        """The manifest's own request: answered, applied with the answer lost, late, or never applied."""
        world, chance = self._world, 1.0 if self._world.calm else self._world.rng.random()
        ((key, data, if_absent),) = self._in_flight
        self._in_flight = []
        if chance < 0.05:
            world.store.send_late(key, data, create_only=if_absent)
            return ManifestCreated(ticket, "unknown")
        if if_absent:
            won = world.store.create(key, data)
        else:
            world.store.put(key, data)
            won = True
        if chance < 0.12:
            return ManifestCreated(ticket, "unknown")
        outcome: Literal["won", "lost"] = "won" if won else "lost"
        return ManifestCreated(ticket, outcome)
