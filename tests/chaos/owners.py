"""Owners of partitions under the adversary: the project's own dedup machine, its ports simulated.

Several owners of one partition may live at once; none of them knows. An owner may crash or fall asleep between any two
events, its appends may land late or never, and it may hear nothing of those that landed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tests.chaos.guards import Guard
from tests.chaos.log import Partition, SimulatedRecord, Unsent

from headrace_core.decide import entry_offset
from headrace_core.meta import decode_note, decode_source_offset, encode_source_offset
from headrace_core.reasons import Reason
from headrace_core.topics import (
    DEDUP_INDEX,
    EVENTS_CLEAN,
    EVENTS_QUARANTINE,
    EVENTS_RAW,
    HEADER_FINGERPRINT,
    HEADER_QUARANTINE,
    HEADER_SOURCE_OFFSET,
    IDENTITY_EDGES,
)
from headrace_dedup.messages import (
    AcceptedRead,
    Action,
    AppendBlock,
    AppendClean,
    AppendEdges,
    AppendFailed,
    AppendQuarantine,
    AskOrigin,
    Begin,
    BlockAppended,
    Ended,
    Event,
    IdleDue,
    IndexRead,
    IndexRecord,
    Origin,
    OutputAppended,
    OwnershipConfirmed,
    OwnershipLost,
    Paused,
    Proceed,
    RangeDone,
    RangeDue,
    RangeRead,
    RawRead,
    ReadAccepted,
    ReadIndex,
    ReadRange,
    Recover,
    SeekRaw,
    Stop,
    StopRequested,
)
from headrace_dedup.owner import Owner
from headrace_dedup.ports import Table

if TYPE_CHECKING:
    from tests.chaos.world import World

__all__ = ["OwnerActor"]

_HOUR_MS = 3_600_000
_RANGE_SIZES = (1, 2, 3, 5)


class _Expired(Exception):
    """A process reads from an offset that retention has passed; it stops, as its reader never resets a position."""


class OwnerActor:
    """One process that owns one partition, or thinks so."""

    def __init__(self, world: World, partition: int, name: str) -> None:
        self._world, self.partition, self.name = world, partition, name
        self.asleep_until = 0
        self.rules = 1
        self.rebuilds_index = False
        self.machine: Owner | None = None
        self.table: Table | None = None
        self.position: int | None = None
        """Offset that the raw reader stands at; None until the machine asks for records."""
        self._sender = 0
        self._inbox: deque[Callable[[], Event]] = deque()
        self._waiting: dict[int, int] = {}
        """Requests in flight per ticket."""
        self._buffered = False
        self._last_block_ms = 0

    def start(self, rules: int) -> None:
        """A new process, with one version of the rules."""
        world = self._world
        self.rules = rules
        self._sender = world.network.new_sender()
        self._inbox.clear()
        self._waiting.clear()
        self.position, self._buffered, self._last_block_ms = None, False, world.now_ms
        self.machine = world.new_owner(self)
        raw, index = (EVENTS_RAW.name, self.partition), (DEDUP_INDEX.name, self.partition)
        raw_start, raw_end, start = world.log.start(raw), world.log.end(raw), world.log.start(index)
        first = max(start, world.oracle.partitions[self.partition].first_remembered())
        position = world.rng.choice((start, first, world.rng.randint(start, first)))
        self._tell(lambda: Begin(raw_start, raw_end, position))

    def crash(self) -> None:
        """The process is gone; what it has in flight may land late."""
        self.machine = None
        self._world.network.abandon(self._sender)

    def step(self) -> None:
        """Let the adversary choose what happens to this process next."""
        world, rng = self._world, self._world.rng
        if self.machine is None:
            self.start(world.rules_of(self.partition))
            return
        chance = rng.random()
        if chance < 0.012:
            world.note("owner crashed")
            self.crash()
        elif chance < 0.025:
            world.note("owner asleep")
            self.asleep_until = world.steps + rng.choice((20, 80, 300))
        elif self._waiting and chance < 0.06:
            world.note("append timed out")
            ticket = rng.choice(list(self._waiting))
            del self._waiting[ticket]
            self._handle(AppendFailed(ticket, "no answer"))
        elif chance < 0.063:
            self._handle(StopRequested())
        elif chance < 0.066:
            self._handle(OwnershipLost())
        elif chance < 0.2 and self._idle_due:
            self._tell_idle()
        else:
            self.advance()

    def advance(self) -> None:
        """What a process does when nothing goes wrong: the next event, if there is one."""
        try:
            self._advance()
        except _Expired:
            self._world.note("slept past retention")
            self.crash()

    def _advance(self) -> None:
        assert self.machine is not None
        if self._inbox:
            self._handle(self._inbox.popleft()())
        elif self.machine.may_proceed and self._world.rng.random() < 0.7:
            self._handle(Proceed())
        elif self._buffered and (self._world.rng.random() < 0.5 or not self._raw_to_read()):
            self._buffered = False
            self._handle(RangeDue())
        elif self.position is not None and self._raw_to_read():
            self._read_raw(self.position)
        elif self._idle_due:
            self._tell_idle()

    @property
    def _idle_due(self) -> bool:
        return self.position is not None and self._world.now_ms - self._last_block_ms >= _HOUR_MS

    def _tell_idle(self) -> None:
        self._last_block_ms = self._world.now_ms
        self._handle(IdleDue())

    @property
    def settled(self) -> bool:
        """Whether the machine has decided all there is and nothing of it is in flight."""
        return (
            self.machine is not None
            and self.position is not None
            and not (self._inbox or self._waiting or self._buffered or self._raw_to_read())
        )

    def _raw_to_read(self) -> bool:
        return self.position is not None and self.position < self._world.log.end(
            (EVENTS_RAW.name, self.partition)
        )

    def _read_raw(self, position: int) -> None:
        log = self._world.log
        if position < log.start((EVENTS_RAW.name, self.partition)):
            raise _Expired
        records = log.read((EVENTS_RAW.name, self.partition), position)[
            : self._world.rng.choice(_RANGE_SIZES)
        ]
        self.position = records[-1].offset + 1 if records else log.end((EVENTS_RAW.name, self.partition))
        self._buffered = self._buffered or bool(records)
        self._handle(RawRead(records, self.position))

    def _tell(self, event: Callable[[], Event]) -> None:
        self._inbox.append(event)

    def _handle(self, event: Event) -> None:
        assert self.machine is not None
        self._world.say(f"{self.name} v{self.rules} <- {event}")
        for action in self.machine.handle(event):
            self._world.say(f"{self.name} v{self.rules} -> {action}")
            if self.machine is not None:
                self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case ReadIndex(position):
                self._tell(lambda: self._index_part(position))
            case AskOrigin():
                self._tell(self._origin)
            case ReadAccepted(above):
                self._tell(lambda: self._accepted(above))
            case ReadRange(start, end):
                self._tell(
                    lambda: RangeRead(self._world.log.read((EVENTS_RAW.name, self.partition), start, end))
                )
            case SeekRaw(position):
                self.position, self._buffered = position, False
                self._check_table()
            case AppendBlock():
                self._append_block(action)
            case AppendClean():
                self._append_clean(action)
            case AppendQuarantine():
                self._append_quarantine(action)
            case AppendEdges():
                self._append_edges(action)
            case Recover():
                self._recover()
            case Stop(error):
                self._world.owner_stopped(self, error)
                self.crash()
            case Ended() | Paused():
                self.crash()
            case RangeDone(position):
                self._last_block_ms = self._world.now_ms
                if self._world.rng.random() < 0.5:
                    self._world.group_offsets[self.partition] = position
            case _:
                raise AssertionError(f"no simulated port for {action}")

    def _check_table(self) -> None:
        """T1: the table, with what has no valid block undone, is the one that a rebuild would give."""
        assert self.table is not None
        assert self.machine is not None
        oracle = self._world.oracle.partitions[self.partition]
        horizon, wanted = oracle.remembered(self.machine._next_index)
        ids = list(dict.fromkeys(oracle.accepted_ids.values()))
        offsets = map(entry_offset, self.table.get_many(ids))
        found = {identity: offset for identity, offset in zip(ids, offsets, strict=True) if offset >= horizon}
        if found != wanted:
            self._world.violations.add("T1 table", f"{self.name} remembers {found}, a rebuild gives {wanted}")

    def _index_part(self, position: int) -> Event:
        """One part of an index read; the next part follows unless this one reached the end."""
        partition = (DEDUP_INDEX.name, self.partition)
        if position < self._world.log.start(partition):
            raise _Expired
        end = self._world.log.end(partition)
        if self._world.rng.random() < 0.3 and end - position > 1:
            end = position + self._world.rng.randrange(1, end - position)
        records = [IndexRecord(r.offset, r.value) for r in self._world.log.read(partition, position, end)]
        at_end = end == self._world.log.end(partition)
        if not at_end:
            self._inbox.appendleft(lambda: self._index_part(end))
        return IndexRead(records, end, at_end)

    def _origin(self) -> Event:
        log, quarantine = self._world.log, (EVENTS_QUARANTINE.name, self.partition)
        return Origin(
            clean_empty=log.end((EVENTS_CLEAN.name, self.partition)) == 0,
            quarantine_has_sources=any(r.header(HEADER_SOURCE_OFFSET) for r in log.all(quarantine)),
            has_manifest=self._world.has_manifest(self.partition),
        )

    def _accepted(self, above: int) -> Event:
        """Some of what events.clean says was accepted, or the rest of it."""
        log, found = self._world.log, dict[int, SimulatedRecord]()
        for record in log.read((EVENTS_CLEAN.name, self.partition), 0):
            source = _source_offset(record)
            if source > max(above, *found, -1):
                found[source] = record
        offsets = list(found)
        if len(offsets) > 2 and self._world.rng.random() < 0.5:
            offsets = offsets[: self._world.rng.randrange(1, len(offsets))]
        at_end = len(offsets) == len(found)
        quarantine = log.all((EVENTS_QUARANTINE.name, self.partition)) if at_end else []
        return AcceptedRead(
            offsets,
            [found[offset].key or b"" for offset in offsets],
            [found[offset].timestamp for offset in offsets],
            at_end,
            {_source_offset(record): _reason_number(record) for record in quarantine},
        )

    def _recover(self) -> None:
        """New producers: nobody hears of what the old ones have in flight. Then the coordinator's answer."""
        world = self._world
        world.note("owner recovers")
        world.network.abandon(self._sender)
        self._sender = world.network.new_sender()
        self._waiting.clear()
        confirmed = world.calm or world.rng.random() < 0.95
        self._tell(OwnershipConfirmed if confirmed else OwnershipLost)

    def _append_block(self, action: AppendBlock) -> None:
        self._last_block_ms = self._world.now_ms
        batch: list[Unsent] = [(None, action.value, ())]
        ticket, meant_for, without = action.ticket, action.meant_for, self._world.without
        if Guard.BLOCK_BEFORE_OUTPUTS in without:
            place = (DEDUP_INDEX.name, self.partition)
            self._world.network.send(self._sender, place, batch, lambda _: None)
            self._tell(lambda: BlockAppended(ticket, meant_for))
            return
        anywhere = Guard.COMPARE_AND_APPEND in without
        self._send(
            (DEDUP_INDEX.name, self.partition),
            ticket,
            [batch],
            lambda base: BlockAppended(ticket, meant_for if anywhere else base),
        )

    def _append_clean(self, action: AppendClean) -> None:
        records: list[Unsent] = [
            (
                key,
                value,
                (
                    (HEADER_SOURCE_OFFSET, encode_source_offset(offset)),
                    (HEADER_FINGERPRINT, fingerprint.to_bytes(8, "big")),
                ),
            )
            for offset, key, value, fingerprint in zip(
                action.offsets, action.keys, action.values, action.fingerprints, strict=True
            )
        ]
        self._send_output((EVENTS_CLEAN.name, self.partition), action.ticket, records)

    def _append_quarantine(self, action: AppendQuarantine) -> None:
        records: list[Unsent] = [
            (key, value, tuple(headers))
            for key, value, headers in zip(action.keys, action.values, action.headers, strict=True)
        ]
        self._send_output((EVENTS_QUARANTINE.name, self.partition), action.ticket, records)

    def _append_edges(self, action: AppendEdges) -> None:
        records: list[Unsent] = [
            (key, value, ()) for key, value in zip(action.keys, action.values, strict=True)
        ]
        self._send_output((IDENTITY_EDGES.name, 0), action.ticket, records)

    def _send_output(self, place: Partition, ticket: int, records: Sequence[Unsent]) -> None:
        """In one request or several; the machine hears of the last."""
        cut = self._world.rng.randrange(len(records)) if len(records) > 1 else 0
        batches = [batch for batch in (records[:cut], records[cut:]) if batch]
        self._send(place, ticket, batches, lambda _: OutputAppended(ticket))

    def _send(
        self, place: Partition, ticket: int, batches: Sequence[Sequence[Unsent]], done: Callable[[int], Event]
    ) -> None:
        self._waiting[ticket] = len(batches)
        for batch in batches:
            self._world.network.send(
                self._sender, place, batch, lambda base: self._landed(ticket, base, done)
            )

    def _landed(self, ticket: int, base: int, done: Callable[[int], Event]) -> None:
        if ticket not in self._waiting or (not self._world.calm and self._world.rng.random() < 0.04):
            return
        self._waiting[ticket] -= 1
        if not self._waiting[ticket]:
            del self._waiting[ticket]
            self._tell(lambda: done(base))


def _source_offset(record: SimulatedRecord) -> int:
    header = record.header(HEADER_SOURCE_OFFSET)
    assert header is not None
    return decode_source_offset(header)


def _reason_number(record: SimulatedRecord) -> int:
    note = decode_note(record.header(HEADER_QUARANTINE) or b"")
    return Reason[note.reason.upper()].number
