"""What an owner knows and how it decides: position, clock, table, horizon, and the way back (rules D1, D2, D5). Pure.

The base of `headrace_dedup.owner.Owner`, which adds the order of events.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace_core.decide import DEAD, Decision, decide
from headrace_dedup import messages as m
from headrace_dedup.buffer import RawBuffer
from headrace_dedup.history import History
from headrace_dedup.ports import Limits, OwnerIdentity, Rules, Table
from headrace_dedup.ranges import Place, Range, RangeBuilder, undo_range
from headrace_dedup.table import TableFull

__all__ = ["Deciding"]


class Deciding:
    """Position and clock of what is decided, valid or not yet; at most one range in flight and one ahead of it."""

    def __init__(self, identity: OwnerIdentity, limits: Limits, rules: Rules, table: Table) -> None:
        self._identity, self._rules, self._table = identity, rules, table
        self._build = RangeBuilder(identity, rules)
        self._history = History(limits.window_ms)
        self._buffer = RawBuffer(limits.range_records, limits.range_bytes)
        self._position: int | None = None
        self._clock_ms = 0
        self._next_index = 0
        """One past the last record of dedup.index that was read; an own valid block counts as read."""
        self._in_flight: Range | None = None
        self._ahead: Range | None = None
        self._open: set[int] = set()
        """Tickets of outputs on their way."""
        self._cramped = False
        self._forced: dict[int, int] = {}
        """Source offsets, not decided yet, that a lost index had quarantined, and why."""

    @property
    def position(self) -> int:
        """Offset after the last decided record; 0 before it is known."""
        return self._position or 0

    @property
    def _busy(self) -> bool:
        return self._in_flight is not None or bool(self._open)

    def _decide_next(self) -> Range | None:
        """Decide the range at the position and learn it; None where it has to wait for room in the table.

        TableFull where waiting cannot make room.
        """
        try:
            return self._decide_range(None)
        except TableFull as error:
            if self._busy:
                self._cramped = (
                    True  # what is on its way moves the last valid block's horizon and may make room
                )
                return None
            return self._decide_cramped(error)

    def _decide_cramped(self, error: TableFull) -> Range:
        """A smaller range, so that the window moves on and frees its expired ids; never a shorter window."""
        records, end = self._buffer.peek(1)
        place = Place(self.position, end, self._meant_for(), self._clock_before())
        room = self._table.room()
        if room or self._horizon(records, place) > self._history.last_horizon:
            return self._decide_range(max(1, room))
        raise error

    def _decide_range(self, at_most: int | None) -> Range:
        records, end = self._buffer.peek(at_most)
        place = Place(self.position, end, self._meant_for(), self._clock_before())
        columns = self._buffer.columns(len(records))
        forced = bool(self._forced) and max(self._forced) >= place.start
        for position, record in enumerate(records if forced else ()):
            columns.reasons[position] = columns.reasons[position] or self._forced.get(record.offset, 0)
        horizon = self._horizon(records, place)

        def decision(offsets: Sequence[int], known: m.Prepared) -> Decision:
            return self._decide(offsets, known, horizon)

        decided = self._build.decided(place, records, columns, decision, unfinished=forced)
        self._table.set_many(*decided.learned)
        self._buffer.take(len(records))
        self._take(decided)
        return decided

    def _take(self, decided: Range) -> None:
        self._cramped = False
        self._position, self._clock_ms = decided.place.end, decided.clock_ms

    def _decide(self, offsets: Sequence[int], columns: m.Prepared, horizon: int) -> Decision:
        """D2: the verdicts, and what is remembered."""
        return decide(
            offsets=offsets,
            ids=columns.ids,
            fingerprints=columns.fingerprints,
            reasons=columns.reasons,
            seen=self._table,
            horizon_offset=horizon,
        )

    def _clock_before(self) -> int:
        """The partition clock, a running maximum."""
        return self._clock_ms

    def _horizon(self, records: Sequence[m.RawRecord], place: Place) -> int:
        """D1: one horizon for the range, by the append time of its first record."""
        return self._history.horizon(
            decided=self._undecided_blocks(),
            clock_before_ms=place.clock_before_ms,
            first_append_ms=records[0].timestamp,
            start=place.start,
        )

    def _undecided_blocks(self) -> list[tuple[int, int]]:
        return [] if self._in_flight is None else [(self._in_flight.place.start, self._in_flight.clock_ms)]

    def _meant_for(self) -> int:
        return self._next_index + (self._in_flight is not None)

    def _undo(self) -> None:
        """Take back every range without a valid block, newest first: what was before comes back, expired ids too."""
        for decided in (self._ahead, self._in_flight):
            if decided is not None:
                undo_range(self._table, decided.undo, DEAD)
                self._position = decided.place.start
        self._clock_ms = self._history.clock_ms
