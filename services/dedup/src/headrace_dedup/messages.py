"""What the owner of a partition is told and what it asks for: the events and actions of `headrace_dedup.owner.Owner`.

`Owner.handle(event)` returns a list of actions, to be carried out in that order; nothing else leaves or enters it. The
caller (the worker, or a simulator) carries out each action and reports back with the event that the action names.
Appends carry a ``ticket``: their outcome is reported with it, and the owner ignores the outcome of any append that
it has given up meanwhile. An append that was given up may still land in the log later; the rules allow for that.

Life of an owner::

    Begin -> ReadIndex -> IndexRead... -> [AskOrigin -> Origin] -> [ReadAccepted -> AcceptedRead ... AppendBlock]
          -> [ReadRange -> RangeRead -> AppendClean, ... -> OutputAppended...] -> SeekRaw
    RawRead, RangeDue, Proceed -> AppendBlock -> BlockAppended
          -> AppendClean, AppendQuarantine, AppendEdges -> OutputAppended... -> RangeDone
    any AppendFailed, or BlockAppended at another offset than meant
          -> Recover -> OwnershipConfirmed -> ReadIndex -> IndexRead... -> as after the start
    IdleDue -> AppendBlock (empty);  StopRequested -> ... AppendBlock (empty) -> Ended
    OwnershipLost, at any time -> Ended;  a state that needs a person -> Stop(error)

Offsets are of events.raw unless a name says otherwise, ends are exclusive, times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from headrace_core.errors import HeadraceError
from headrace_core.identity import Edge

__all__ = [
    "AcceptedRead",
    "Action",
    "AppendBlock",
    "AppendClean",
    "AppendEdges",
    "AppendFailed",
    "AppendQuarantine",
    "AskOrigin",
    "Begin",
    "BlockAppended",
    "Ended",
    "Event",
    "IdleDue",
    "IndexRead",
    "IndexRecord",
    "Origin",
    "OutputAppended",
    "OutputKind",
    "OwnershipConfirmed",
    "OwnershipLost",
    "Paused",
    "Prepared",
    "Proceed",
    "RangeDone",
    "RangeDue",
    "RangeRead",
    "RawRead",
    "RawRecord",
    "ReadAccepted",
    "ReadIndex",
    "ReadRange",
    "Recover",
    "SeekRaw",
    "Stop",
    "StopRequested",
]

OutputKind = Literal["clean", "quarantine", "edges"]


class RawRecord(Protocol):
    """A record of events.raw as a log reader hands it out."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Append time."""

    @property
    def key(self) -> bytes | None:
        """The dedup id, as ingest computed it."""

    @property
    def value(self) -> bytes | None:
        """The event's own bytes."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """``m``, ``i`` and, for a rerun, ``r``."""


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """A record of dedup.index: where it stands and its bytes."""

    offset: int
    value: bytes


@dataclass(slots=True)
class Prepared:
    """Columns of consecutive raw records, read by one version of the rules. ``reasons`` is 0 where the event is good;
    ``values`` is None where it is not."""

    ids: list[bytes] = field(default_factory=list)
    """16 bytes each; the record's own key, or zeros, where no identity can be computed."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of the raw value. Whoever asks the record for its value again is given another copy of it."""
    fingerprints: list[int] = field(default_factory=list)
    reasons: list[int] = field(default_factory=list)
    details: dict[int, str] = field(default_factory=dict)
    """What is wrong with the record at a position of the columns."""
    values: list[bytes | None] = field(default_factory=list)
    """The CleanEvent as JSON: kept as bytes, since a range of objects is larger than the processor's cache."""
    edges: dict[int, tuple[Edge, ...]] = field(default_factory=dict)
    """Identity edges of the event at a position of the columns; most events make none."""

    def extend(self, other: Prepared) -> None:
        """Append the columns of the records that follow."""
        before = len(self.ids)
        self.ids += other.ids
        self.sizes += other.sizes
        self.fingerprints += other.fingerprints
        self.reasons += other.reasons
        self.values += other.values
        self.details.update({before + at: detail for at, detail in other.details.items()})
        self.edges.update({before + at: edges for at, edges in other.edges.items()})

    def first(self, count: int) -> Prepared:
        """A copy of the first ``count`` rows."""
        return Prepared(
            self.ids[:count],
            self.sizes[:count],
            self.fingerprints[:count],
            self.reasons[:count],
            {at: detail for at, detail in self.details.items() if at < count},
            self.values[:count],
            {at: edges for at, edges in self.edges.items() if at < count},
        )

    def drop(self, count: int) -> None:
        """Remove the first ``count`` rows."""
        for column in (self.ids, self.sizes, self.fingerprints, self.reasons, self.values):
            del column[:count]
        self.details = {at - count: detail for at, detail in self.details.items() if at >= count}
        self.edges = {at - count: edges for at, edges in self.edges.items() if at >= count}


# Events


@dataclass(frozen=True, slots=True)
class Begin:
    """First event. The log as it is now, and where in the index the caller will begin to read: at or before the first
    block whose clock is above the last valid block's clock - window (rule D6), or the beginning."""

    raw_start: int
    raw_end: int
    index_position: int


@dataclass(frozen=True, slots=True)
class IndexRead:
    """Answer to ReadIndex, in one or more parts; ``at_end`` with the part that reached the end of the log."""

    records: Sequence[IndexRecord]
    next_offset: int
    """Offset in dedup.index after what was read."""
    at_end: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """Answer to AskOrigin: traces of an earlier life of the partition, outside the index."""

    clean_empty: bool
    """Nothing was ever appended to the partition of events.clean (its end offset is 0)."""
    quarantine_has_sources: bool
    """A record of the partition of events.quarantine carries a source offset."""
    has_manifest: bool
    """The partition's chain has a manifest."""


@dataclass(frozen=True, slots=True)
class AcceptedRead:
    """Answer to ReadAccepted: what events.clean says was accepted, ascending and each offset once, above the asked one."""

    offsets: Sequence[int]
    ids: Sequence[bytes]
    times_ms: Sequence[int]
    """Append times in events.clean."""
    at_end: bool
    quarantined: Mapping[int, int] = field(default_factory=dict)
    """With the last part: source offset to reason number, of every record of events.quarantine that has one."""


@dataclass(frozen=True, slots=True)
class RawRead:
    """Records that follow the last ones, or the offset of the last SeekRaw."""

    records: Sequence[RawRecord]
    next_offset: int


@dataclass(frozen=True, slots=True)
class RangeDue:
    """The oldest buffered record has waited long enough for others: decide what there is."""


@dataclass(frozen=True, slots=True)
class Proceed:
    """The caller has carried out all actions and has nothing else to do: decide one range ahead (rule D4), if one is
    complete while another is on its way. Optional; without it ranges are decided when their turn comes."""


@dataclass(frozen=True, slots=True)
class RangeRead:
    """Answer to ReadRange: every record that the log still has of it."""

    records: Sequence[RawRecord]


@dataclass(frozen=True, slots=True)
class BlockAppended:
    """A block was acknowledged, at this offset of dedup.index."""

    ticket: int
    offset: int


@dataclass(frozen=True, slots=True)
class OutputAppended:
    """All records of an AppendClean, AppendQuarantine or AppendEdges were acknowledged."""

    ticket: int


@dataclass(frozen=True, slots=True)
class AppendFailed:
    """An append was refused, or its outcome is unknown."""

    ticket: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class OwnershipConfirmed:
    """Answer to Recover: producers are new, the coordinator confirmed the ownership after that, the wait is over."""


@dataclass(frozen=True, slots=True)
class OwnershipLost:
    """The partition is another member's, or nobody can say that it is ours."""


@dataclass(frozen=True, slots=True)
class IdleDue:
    """An hour has passed since the last block (rule D7)."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The process is going to end: finish what is in flight and append the last empty block."""


Event = (
    Begin
    | IndexRead
    | Origin
    | AcceptedRead
    | RawRead
    | RangeDue
    | Proceed
    | RangeRead
    | BlockAppended
    | OutputAppended
    | AppendFailed
    | OwnershipConfirmed
    | OwnershipLost
    | IdleDue
    | StopRequested
)


# Actions


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """Read dedup.index from here to its present end. Answer: IndexRead."""

    position: int


@dataclass(frozen=True, slots=True)
class AskOrigin:
    """Look for traces of an earlier life. Answer: Origin."""


@dataclass(frozen=True, slots=True)
class ReadAccepted:
    """Read on what events.clean says was accepted above this source offset (--rebuild-index). Answer: AcceptedRead."""

    above: int


@dataclass(frozen=True, slots=True)
class ReadRange:
    """Read these raw records again. Answer: RangeRead."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SeekRaw:
    """Hand out raw records from here on (RawRead), and none that were read before."""

    position: int


@dataclass(frozen=True, slots=True)
class AppendBlock:
    """Append to dedup.index as one record. Answer: BlockAppended or AppendFailed."""

    ticket: int
    meant_for: int
    value: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AppendClean:
    """Append to events.clean in this order, nothing behind a batch that failed. Answer: OutputAppended, AppendFailed."""

    ticket: int
    offsets: Sequence[int]
    """Source offsets (header ``s``)."""
    keys: Sequence[bytes]
    values: Sequence[bytes]
    fingerprints: Sequence[int]
    """Header ``f``."""


@dataclass(frozen=True, slots=True)
class AppendQuarantine:
    """Append to events.quarantine. Answer: OutputAppended or AppendFailed."""

    ticket: int
    offsets: Sequence[int]
    keys: Sequence[bytes]
    values: Sequence[bytes]
    headers: Sequence[Sequence[tuple[str, bytes]]]
    """Complete: those of the raw record, ``s`` and ``q``."""


@dataclass(frozen=True, slots=True)
class AppendEdges:
    """Append to identity.edges, in any order: a repeat changes nothing. Answer: OutputAppended or AppendFailed."""

    ticket: int
    keys: Sequence[bytes]
    values: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Recover:
    """New producers, then ask the coordinator for the ownership, then wait for a time drawn uniformly from 0 to
    ``wait_up_to_ms`` (rule D5). Answer: OwnershipConfirmed or OwnershipLost."""

    wait_up_to_ms: int
    cause: str
    void: bool
    """Whether the cause is an own block that landed at another offset than meant."""


@dataclass(frozen=True, slots=True)
class RangeDone:
    """A block and all its outputs are acknowledged. For metrics, and ``position`` as the hint for the group offset."""

    position: int
    accepted: int
    duplicates: int
    quarantined: Mapping[int, int]
    """Reason number to count."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The owner decides nothing more until it is started again with more room; what was decided is safe."""

    error: HeadraceError


@dataclass(frozen=True, slots=True)
class Stop:
    """The process has to end with this error; the owner takes no event any more."""

    error: HeadraceError


@dataclass(frozen=True, slots=True)
class Ended:
    """The owner is done: after OwnershipLost, or, ``clean``, after StopRequested with its last empty block in the log."""

    clean: bool


Action = (
    ReadIndex
    | AskOrigin
    | ReadAccepted
    | ReadRange
    | SeekRaw
    | AppendBlock
    | AppendClean
    | AppendQuarantine
    | AppendEdges
    | Recover
    | RangeDone
    | Paused
    | Stop
    | Ended
)
