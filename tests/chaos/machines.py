"""The project's machines as the simulated processes start them, with the guards that a run takes away.

Each unguarded machine is the project's own with one decision replaced by the plausible wrong one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.guards import Guard
from tests.chaos.rules import DictTable, SimulatedRules

from headrace_core.block import BlockColumns, BlockHeader, Verdict
from headrace_core.decide import ABSENT, DEAD, Decision, decide, entry, entry_offset
from headrace_core.manifest import ChainEnd
from headrace_core.paths import ChainKind
from headrace_core.topics import DEDUP_INDEX, EVENTS_CLEAN, EVENTS_RAW
from headrace_dedup.history import History
from headrace_dedup.messages import IdleDue, Prepared, RawRecord
from headrace_dedup.owner import Owner
from headrace_dedup.ports import Limits, OwnerIdentity, Table
from headrace_dedup.ranges import Outputs, Place, Range
from headrace_dedup.table import IdTable
from headrace_loader.archive import build_raw, build_verdicts
from headrace_loader.event_files import build_events
from headrace_loader.intakes import EventIntake, RawIntake, VerdictIntake
from headrace_loader.stage_messages import ChainIdentity, Contents, Cut, CutLimits
from headrace_loader.stager import Stager

__all__ = [
    "TOPICS",
    "UnguardedOwner",
    "UnguardedStager",
    "build",
    "chain_identity",
    "new_owner",
    "new_stager",
    "new_table",
]

_CLUSTER_ID = "simulated"
_RANGE_RECORDS = 5
_CRAMPED_SLOTS = 16

TOPICS: dict[ChainKind, str] = {
    "events": EVENTS_CLEAN.name,
    "raw": EVENTS_RAW.name,
    "verdicts": DEDUP_INDEX.name,
}
"""The topic whose offsets a chain counts."""


class _LeaderClock(History):
    """Block clocks that follow the leader's clock back, and an expiry of each block by its own."""

    def append(self, start: int, clock_ms: int) -> int:
        self.clock_ms = clock_ms
        self._starts.append(start)
        self._clocks.append(clock_ms)
        return 0

    def forgotten(self, offset: int, now_ms: int) -> bool:
        """Whether the block of an accepted offset is older than the window; one that is not valid yet never is."""
        at = bisect_right(self._starts, offset) - 1
        return at >= 0 and self._clocks[at] <= now_ms - self._window_ms


@dataclass(frozen=True, slots=True)
class _Expiring:
    """A table that shows no id whose block is older than the window by the leader's clock."""

    table: Table
    history: _LeaderClock
    now_ms: int

    def get_many(self, ids: Sequence[bytes]) -> list[int]:
        return [
            ABSENT if self.history.forgotten(entry_offset(value), self.now_ms) else value
            for value in self.table.get_many(ids)
        ]

    def set_many(self, ids: Sequence[bytes], entries: Sequence[int]) -> None:
        self.table.set_many(ids, entries)


class UnguardedOwner(Owner):
    """An owner without some of its guards."""

    without: Collection[Guard] = ()
    group_offset = 0
    """Where the consumer group's committed offset stands."""

    def _is_valid(self, header: BlockHeader, index_offset: int) -> bool:
        return Guard.COMPARE_AND_APPEND in self.without or super()._is_valid(header, index_offset)

    def _adopt(self, header: BlockHeader, columns: BlockColumns, value: bytes) -> None:
        """Where every block counts, the first one that covers an offset does."""
        if (
            Guard.COMPARE_AND_APPEND in self.without
            and self._position is not None
            and header.start < self._position
        ):
            return
        super()._adopt(header, columns, value)

    def _resend_at_start(self) -> bool:
        return Guard.RESEND_AT_START not in self.without and super()._resend_at_start()

    def _resend_after_reread(self) -> bool:
        return Guard.RESEND_AFTER_REREAD not in self.without and super()._resend_after_reread()

    def _is_own(self, given_up: Range) -> bool:
        if Guard.OWN_BLOCK_BY_BYTES not in self.without or self._last is None:
            return super()._is_own(given_up)
        header, _, _ = self._last
        return (header.start, header.end) == (given_up.place.start, given_up.place.end) and header.count > 0

    def _send_edges(self, outputs: Outputs) -> None:
        if Guard.AWAIT_EDGES in self.without:
            self._actions.append(outputs.edges(self._ticket()))
        else:
            super()._send_edges(outputs)

    def _resend(self, outputs: Outputs) -> None:
        if Guard.RESEND_EDGES in self.without:
            outputs = replace(outputs, edge_keys=[], edge_values=[])
        super()._resend(outputs)

    def _may_append(self) -> bool:
        return (Guard.AWAIT_OUTPUTS in self.without and self._in_flight is None) or super()._may_append()

    def _go_live(self) -> None:
        if Guard.POSITION_FROM_BLOCKS in self.without and not self._went_live:
            self._position = min(self.position, self.group_offset)
        self._went_live = True
        super()._go_live()

    _went_live = False

    def _on_idle_due(self, event: IdleDue) -> None:
        if Guard.EMPTY_BLOCK_AFTER_OUTPUTS not in self.without:
            super()._on_idle_due(event)
        elif self.phase == "live" and self._in_flight is None and self._ahead is None:
            self._launch_empty()

    def _on_void(self, offset: int) -> None:
        if Guard.VOID_IS_UNREAD in self.without:
            self._next_index = offset + 1
        super()._on_void(offset)

    def _clock_before(self) -> int:
        return 0 if Guard.RUNNING_CLOCK in self.without else super()._clock_before()

    def _horizon(self, records: Sequence[RawRecord], place: Place) -> int:
        self._first_append_ms = records[0].timestamp
        if Guard.HORIZON_AT_FIRST in self.without:
            newest = max(records, key=lambda record: record.timestamp)
            return super()._horizon([newest], place)
        return super()._horizon(records, place)

    _first_append_ms = 0

    def _decide(self, offsets: Sequence[int], columns: Prepared, horizon: int) -> Decision:
        if isinstance(self._history, _LeaderClock):
            return decide(
                offsets=offsets,
                ids=columns.ids,
                fingerprints=columns.fingerprints,
                reasons=columns.reasons,
                seen=_Expiring(self._table, self._history, self._first_append_ms),
                horizon_offset=0,
            )
        made = super()._decide(offsets, columns, horizon)
        if Guard.FORGET_QUARANTINED in self.without:
            return self._remembering_all(made, offsets, columns)
        return made

    def _remembering_all(self, made: Decision, offsets: Sequence[int], columns: Prepared) -> Decision:
        learned = dict(zip(made.updated_ids, made.updated_entries, strict=True))
        for offset, identity, content, verdict in zip(
            offsets, columns.ids, columns.fingerprints, made.verdicts, strict=True
        ):
            if verdict == Verdict.QUARANTINED:
                learned.setdefault(identity, entry(offset, content))
        before = self._table.get_many(list(learned))
        return replace(
            made,
            updated_ids=tuple(learned),
            updated_entries=tuple(learned.values()),
            undo=tuple(zip(learned, before, strict=True)),
        )

    def _undo(self) -> None:
        if Guard.UNDO in self.without:
            self._position = self._in_flight.place.start if self._in_flight else self._position
            if self._ahead is not None and self._in_flight is None:
                self._position = self._ahead.place.start
            self._clock_ms = self._history.clock_ms
            return
        if Guard.UNDO_RESTORES_EXPIRED in self.without:
            for decided in (self._ahead, self._in_flight):
                if decided is not None:
                    decided.undo = [(identity, DEAD) for identity, _ in decided.undo]
        super()._undo()


class UnguardedStager(Stager[Any]):
    """A stager without some of its guards."""

    without: Collection[Guard] = ()

    def is_repeat(self, source_offset: int) -> bool:
        return Guard.SOURCE_OFFSET_FILTER not in self.without and super().is_repeat(source_offset)

    def carried_maximum(self, end: ChainEnd) -> int:
        return -1 if Guard.LAST_CARRIED in self.without else super().carried_maximum(end)

    def creates_if_absent(self) -> bool:
        return Guard.IF_NONE_MATCH not in self.without


def new_table(kind: str) -> Table:
    """The table of seen ids: the project's own, also with hardly any room, or a dictionary that drops what may be dropped
    at once, or one that never does."""
    match kind:
        case "own":
            return IdTable(max_bytes=1 << 20)
        case "cramped":
            return IdTable(max_bytes=_CRAMPED_SLOTS * 24)
        case _:
            return DictTable(eager=kind == "eager")


def new_owner(
    partition: int,
    writer: str,
    rules: SimulatedRules,
    table: Table,
    *,
    window_ms: int,
    group_offset: int,
    rebuild_index: bool,
    without: Collection[Guard],
) -> Owner:
    """An owner of one partition."""
    identity = OwnerIdentity(_CLUSTER_ID, f"id of {EVENTS_RAW.name}", partition, writer)
    limits = Limits(window_ms, _RANGE_RECORDS)
    owner = UnguardedOwner(identity, limits, rules, table, rebuild_index=rebuild_index)
    owner.without, owner.group_offset = without, group_offset
    if Guard.RUNNING_CLOCK in without:
        owner._history = _LeaderClock(window_ms)
    return owner


def chain_identity(kind: ChainKind, partition: int) -> ChainIdentity:
    """Whose offsets a chain counts."""
    return ChainIdentity(kind, partition, TOPICS[kind], f"id of {TOPICS[kind]}", _CLUSTER_ID)


def new_stager(
    kind: ChainKind, partition: int, nonce: Callable[[], str], without: Collection[Guard]
) -> Stager[Any]:
    """A stager of one chain."""
    stager = UnguardedStager(
        chain_identity(kind, partition), _intake(kind), limits=CutLimits(), writer="simulated", nonce=nonce
    )
    stager.without = without
    return stager


def _intake(kind: ChainKind) -> Any:
    match kind:
        case "events":
            return EventIntake()
        case "raw":
            return RawIntake()
        case "verdicts":
            return VerdictIntake(cluster_id=_CLUSTER_ID, raw_topic_id=f"id of {EVENTS_RAW.name}")


def build(kind: ChainKind, cut: Cut[Any]) -> Contents:
    """The objects of a cut."""
    match kind:
        case "events":
            return build_events(cut)
        case "raw":
            return build_raw(cut)
        case "verdicts":
            return build_verdicts(cut)
