"""The owner of one partition as a state machine: events in, actions out (rules D1 to D7; ADR 0007).

Pure and synchronous: no I/O, no clock, no randomness. `headrace_dedup.messages` is its interface. The decisions that the
rules rest on are methods of their own, named in ``GUARDS``, so that a test can take one away and see what breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from headrace_core.block import BlockColumns, BlockHeader, is_valid_at, split_block
from headrace_core.decide import DEAD
from headrace_core.errors import HeadraceError
from headrace_dedup import messages as m
from headrace_dedup.deciding import Deciding
from headrace_dedup.ports import Limits, OwnerIdentity, Rules, Table
from headrace_dedup.ranges import Outputs, Place, Range, accepted_entries, sends_nothing, undo_range
from headrace_dedup.refusals import check_block, check_origin, index_gap, rebuild_unfinished
from headrace_dedup.table import TableFull

__all__ = ["GUARDS", "Owner"]

GUARDS = (
    "_clock_before",
    "_decide",
    "_horizon",
    "_is_own",
    "_is_valid",
    "_may_append",
    "_on_void",
    "_resend_after_reread",
    "_resend_at_start",
    "_send_edges",
    "_undo",
)
"""Methods that a planted bug may override."""

_FIRST_WAIT_MS = 50
_LONGEST_WAIT_MS = 5_000

_Phase = Literal["new", "reading", "origin", "rebuilding", "resending", "live", "recovering", "ended"]


class Owner(Deciding):
    """The state machine. `handle` raises no HeadraceError: one that ends the owner becomes a Stop action."""

    def __init__(
        self,
        identity: OwnerIdentity,
        limits: Limits,
        rules: Rules,
        table: Table,
        *,
        rebuild_index: bool = False,
    ) -> None:
        super().__init__(identity, limits, rules, table)
        self._may_rebuild = rebuild_index
        self._rebuilding = False
        self._rebuild_read = False
        self._phase: _Phase = "new"
        self._actions: list[m.Action] = []
        self._begin = m.Begin(0, 0, 0)
        self._origin: m.Origin | None = None
        self._started = False
        self._last: tuple[BlockHeader, BlockColumns, bytes] | None = None
        self._certified = True
        self._sent: Range | None = None
        self._given_up: Range | None = None
        self._tickets = 0
        self._block_ticket = 0
        self._voids = 0
        self._empty_due = False
        self._stopping = False
        self._paused: HeadraceError | None = None
        self._on: dict[type[Any], Callable[[Any], None]] = {
            m.Begin: self._on_begin,
            m.IndexRead: self._on_index_read,
            m.Origin: self._on_origin,
            m.AcceptedRead: self._on_accepted_read,
            m.RawRead: self._on_raw_read,
            m.RangeDue: self._on_range_due,
            m.Proceed: self._on_proceed,
            m.RangeRead: self._on_range_read,
            m.BlockAppended: self._on_block_appended,
            m.OutputAppended: self._on_output_appended,
            m.AppendFailed: self._on_append_failed,
            m.OwnershipConfirmed: self._on_ownership_confirmed,
            m.OwnershipLost: self._on_ownership_lost,
            m.IdleDue: self._on_idle_due,
            m.StopRequested: self._on_stop_requested,
        }

    @property
    def phase(self) -> _Phase:
        """Where in its life the owner is."""
        return self._phase

    @property
    def paused(self) -> HeadraceError | None:
        """Why nothing more is decided, None while all is well."""
        return self._paused

    @property
    def buffered(self) -> int:
        """Raw records that wait for a decision."""
        return len(self._buffer)

    @property
    def wants_records(self) -> bool:
        """Whether RawRead is welcome; one that comes all the same is taken."""
        return self._decides and not self._buffer.is_full

    @property
    def may_proceed(self) -> bool:
        """Whether Proceed would decide a range ahead."""
        return self._busy and self._ahead is None and not self._cramped and self._can_decide

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return self._phase == "live" and not self._busy and not self._buffer

    def handle(self, event: m.Event) -> list[m.Action]:
        """Take an event; the actions to carry out, in order."""
        self._actions = []
        if self._phase != "ended":
            try:
                self._on[type(event)](event)
            except TableFull as error:
                self._paused = error
                self._actions.append(m.Paused(error))
            except HeadraceError as error:
                self._phase = "ended"
                self._actions.append(m.Stop(error))
        return self._actions

    # Start, and reading on

    def _on_begin(self, event: m.Begin) -> None:
        self._begin, self._next_index = event, event.index_position
        self._read_index()

    def _read_index(self) -> None:
        self._phase = "reading"
        self._actions.append(m.ReadIndex(self._next_index))

    def _on_index_read(self, event: m.IndexRead) -> None:
        if self._phase != "reading":
            return
        for record in event.records:
            header, columns = split_block(record.value)
            if self._is_valid(header, record.offset):
                self._adopt(header, columns, record.value)
        self._next_index = event.next_offset
        if event.at_end:
            self._on_index_end()

    def _is_valid(self, header: BlockHeader, index_offset: int) -> bool:
        """D3: only at the offset that it was meant for."""
        return is_valid_at(header, index_offset)

    def _adopt(self, header: BlockHeader, columns: BlockColumns, value: bytes) -> None:
        """Apply a block found in the index by its recorded verdicts."""
        check_block(header, self._identity)
        if self._position is not None and header.start != self._position:
            raise index_gap(header, self._position)
        self._table.set_column(*accepted_entries(header, columns, self._rules.fingerprint_version))
        self._position = header.end
        self._note_valid(header, columns, value)
        self._sent = None

    def _note_valid(self, header: BlockHeader, columns: BlockColumns, value: bytes) -> None:
        self._last = header, columns, value
        self._clock_ms = max(self._clock_ms, header.clock_ms)
        self._table.release_below(self._history.append(header.start, header.clock_ms))
        self._certified = sends_nothing(header, columns)

    def _on_index_end(self) -> None:
        started, self._started = self._started, True
        if self._last is None:
            self._on_no_block()
        elif self._certified or not (self._resend_after_reread() if started else self._resend_at_start()):
            self._certified = True
            self._go_on()
        elif self._given_up is not None and self._is_own(self._given_up):
            self._sent = self._given_up
            self._resend(self._given_up.outputs)
        else:
            self._phase = "resending"
            self._actions.append(m.ReadRange(self._last[0].start, self._last[0].end))

    def _resend_at_start(self) -> bool:
        """D6: whether the last valid block's range goes out again before any block."""
        return True

    def _resend_after_reread(self) -> bool:
        """D5: the same after reading on, whoever wrote the block, unless this owner saw all its outputs acknowledged."""
        return True

    def _is_own(self, given_up: Range) -> bool:
        """D5: whether the last valid block is the one that this owner gave up: by its bytes, never by its range."""
        return self._last is not None and self._last[2] == given_up.value

    def _on_range_read(self, event: m.RangeRead) -> None:
        if self._phase != "resending" or self._last is None:
            return
        header, columns, _ = self._last
        if self._may_rebuild and header.start < self._begin.raw_start:
            self._certified = True
            self._read_accepted()
        else:
            self._resend(self._build.again(header, columns, event.records))

    def _resend(self, outputs: Outputs) -> None:
        """Send again, and go on meanwhile; the next block waits for the acknowledgements like any other."""
        self._phase = "resending" if self._is_unfinished else "live"
        self._send(outputs)
        if not self._is_unfinished:
            self._go_live()

    @property
    def _is_unfinished(self) -> bool:
        """Whether the index ends inside a rebuild."""
        return self._last is not None and self._last[0].fingerprint_version == 0

    def _go_on(self) -> None:
        if self._last is None or not self._is_unfinished:
            self._go_live()
        elif self._may_rebuild:
            self._read_accepted()
        else:
            raise rebuild_unfinished(self._last[0])

    # No valid block: an unused partition, or a lost index

    def _on_no_block(self) -> None:
        if self._rebuilding:
            self._read_accepted()
        elif self._position is not None:
            self._go_live()
        elif self._origin is None:
            self._phase = "origin"
            self._actions.append(m.AskOrigin())
        else:
            self._begin_without_blocks(self._origin)

    def _on_origin(self, event: m.Origin) -> None:
        if self._phase == "origin":
            self._origin = event
            # Another owner may have decided its first range since the index was read; that is no lost index.
            self._read_index()

    def _begin_without_blocks(self, origin: m.Origin) -> None:
        begin = self._begin
        used = not origin.clean_empty or origin.quarantine_has_sources or origin.has_manifest
        if begin.raw_start == 0 and not used:
            self._position = 0
            self._go_live()
        elif begin.raw_start == begin.raw_end:
            self._position = begin.raw_end
            self._go_live()
        else:
            check_origin(self._identity, rebuild_index=self._may_rebuild)
            self._read_accepted()

    def _read_accepted(self) -> None:
        self._phase, self._rebuilding = "rebuilding", True
        self._actions.append(m.ReadAccepted(-1 if self._position is None else self._position - 1))

    def _on_accepted_read(self, event: m.AcceptedRead) -> None:
        if self._phase != "rebuilding" or self._in_flight is not None:
            return
        first = event.offsets[0] if event.offsets else self._begin.raw_start
        start = first if self._position is None else self._position
        end = event.offsets[-1] + 1 if event.offsets else start
        self._rebuild_read = event.at_end
        if event.at_end:
            end = max(end, self._begin.raw_start)
            self._forced = {at: reason for at, reason in event.quarantined.items() if at >= end}
        self._position = start
        if end == start:
            self._on_rebuilt()
            return
        place = Place(start, end, self._meant_for(), self._clock_before())
        clock_ms = max([self._clock_ms, *event.times_ms])
        rebuilt = self._build.rebuilt(place, clock_ms, event.offsets, event.ids, self._table)
        self._table.set_many(*rebuilt.learned)
        self._take(rebuilt)
        self._launch(rebuilt)

    def _on_rebuilt(self) -> None:
        if not self._rebuild_read:
            self._read_accepted()
            return
        self._rebuilding = False
        self._empty_due = not self._forced
        self._go_live()

    # Deciding and appending

    def _go_live(self) -> None:
        self._phase = "live"
        self._buffer.restart(self.position)
        self._actions.append(m.SeekRaw(self.position))
        self._advance()

    def _on_raw_read(self, event: m.RawRead) -> None:
        """Read by the rules at once, while the bytes are in the processor's cache."""
        if self._phase == "live":
            records = self._buffer.unseen(event.records)
            columns = self._rules.prepare(self._identity.partition, records)
            self._buffer.add(records, columns, event.next_offset)
            self._advance()

    def _on_range_due(self, _: m.RangeDue) -> None:
        self._buffer.due()
        self._advance()

    def _on_proceed(self, _: m.Proceed) -> None:
        if self.may_proceed:
            self._ahead = self._decide_next()

    @property
    def _decides(self) -> bool:
        return self._phase == "live" and not self._stopping and self._paused is None

    @property
    def _can_decide(self) -> bool:
        return self._decides and not self._empty_due and self._buffer.is_ready

    def _advance(self) -> None:
        """Append what may be appended now; decide it first if it is not decided yet."""
        if self._phase != "live" or not self._may_append():
            return
        if self._stopping:
            self._end_cleanly()
        elif self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            self._launch(ahead)
        elif self._empty_due:
            self._launch_empty()
        elif self._can_decide and (decided := self._decide_next()) is not None:
            self._launch(decided)

    def _may_append(self) -> bool:
        """D4: the next block, empty or not, only after all outputs below it are acknowledged; one block at a time."""
        return not self._busy

    def _ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def _launch(self, decided: Range) -> None:
        self._in_flight, self._block_ticket = decided, self._ticket()
        place = decided.place
        self._actions.append(
            m.AppendBlock(self._block_ticket, place.meant_for, decided.value, place.start, place.end)
        )

    def _launch_empty(self) -> None:
        """D7: start = end = position, the clock of the last block."""
        self._empty_due = False
        place = Place(self.position, self.position, self._meant_for(), self._history.clock_ms)
        # An end of the rebuild in the index would let the next start forget what the lost index had quarantined.
        self._launch(self._build.empty(place, self._history.clock_ms, unfinished=bool(self._forced)))

    def _on_block_appended(self, event: m.BlockAppended) -> None:
        block = self._in_flight
        if block is None or event.ticket != self._block_ticket:
            return
        if event.offset != block.place.meant_for:
            self._on_void(event.offset)
            return
        self._in_flight, self._given_up, self._voids, self._empty_due = None, None, 0, False
        self._next_index = event.offset + 1
        self._note_valid(*split_block(block.value), block.value)
        self._forced = {at: reason for at, reason in self._forced.items() if at >= block.place.end}
        if self._phase == "rebuilding":
            self._on_rebuilt()
        else:
            self._sent = block
            self._send(block.outputs)

    def _on_void(self, _offset: int) -> None:
        """D3, D5: the block counts for nobody, nor as read; another owner wrote to the index."""
        self._recover("the block landed at another offset than it was meant for", void=True)

    def _send(self, outputs: Outputs) -> None:
        if outputs.clean_offsets:
            self._actions.append(outputs.clean(self._opened()))
        if outputs.quarantine_offsets:
            self._actions.append(outputs.quarantine(self._opened()))
        if outputs.edge_keys:
            self._send_edges(outputs)
        if not self._open:
            self._on_all_out()

    def _send_edges(self, outputs: Outputs) -> None:
        """D4: acknowledged before the next block, like every other output."""
        self._actions.append(outputs.edges(self._opened()))

    def _opened(self) -> int:
        ticket = self._ticket()
        self._open.add(ticket)
        return ticket

    def _on_output_appended(self, event: m.OutputAppended) -> None:
        if event.ticket in self._open:
            self._open.remove(event.ticket)
            if not self._open:
                self._on_all_out()

    def _on_all_out(self) -> None:
        self._certified, self._given_up = True, None
        if self._sent is not None:
            done = self._sent
            self._actions.append(
                m.RangeDone(done.place.end, done.accepted, done.duplicates, done.quarantined)
            )
        if self._phase == "resending":
            self._go_on()
            return
        # The last of what a lost index had quarantined is decided: the next block completes the rebuild.
        self._empty_due = self._empty_due or (self._is_unfinished and not self._forced)
        self._advance()

    # Failure

    def _on_append_failed(self, event: m.AppendFailed) -> None:
        is_block = self._in_flight is not None and event.ticket == self._block_ticket
        if is_block or event.ticket in self._open:
            self._recover(event.why or "an append failed", void=False)

    def _recover(self, cause: str, *, void: bool) -> None:
        self._given_up = self._in_flight or (None if self._certified else self._sent)
        self._undo()
        self._in_flight = self._ahead = None
        self._open.clear()
        self._buffer.restart(self.position)
        if self._stopping:
            self._end(clean=False)
            return
        self._phase = "recovering"
        wait_ms = min(_LONGEST_WAIT_MS, _FIRST_WAIT_MS << min(self._voids, 16))
        self._voids += 1
        self._actions.append(m.Recover(wait_ms, cause, void))

    def _on_ownership_confirmed(self, _: m.OwnershipConfirmed) -> None:
        if self._phase == "recovering":
            self._read_index()

    def _on_ownership_lost(self, _: m.OwnershipLost) -> None:
        self._end(clean=False)

    # Idle and end

    def _on_idle_due(self, _: m.IdleDue) -> None:
        if self.is_idle and self._paused is None:
            self._empty_due = True
            self._advance()

    def _on_stop_requested(self, _: m.StopRequested) -> None:
        self._stopping = True
        if self._phase != "live":
            self._end(clean=False)
            return
        if self._ahead is not None:
            undo_range(self._table, self._ahead.undo, DEAD)
            self._position, self._ahead = self._ahead.place.start, None
        self._buffer.restart(self.position)
        self._advance()

    def _end_cleanly(self) -> None:
        if self._last is not None and self._last[0].start == self._last[0].end:
            self._end(clean=True)
        else:
            self._launch_empty()

    def _end(self, *, clean: bool) -> None:
        self._phase = "ended"
        self._actions.append(m.Ended(clean))
