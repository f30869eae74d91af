"""A decided range: its block, what it sends out, and how to take it back. Pure.

`RangeBuilder` turns raw records and a decision into the block and the output records; the same outputs come from a
block's recorded verdicts when a range has to be sent again, whoever decided it (rules D4 to D7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from headrace_core.block import BlockColumns, BlockHeader, Verdict, assemble_block
from headrace_core.decide import ABSENT, TAG_BITS, TAG_MODULUS, Decision, entry, partition_clock
from headrace_core.errors import Bug, ConfigurationError
from headrace_core.identity import edge_key, encode_edge
from headrace_core.meta import QuarantineNote, encode_note, encode_source_offset
from headrace_core.reasons import Reason, reason_of
from headrace_core.topics import HEADER_QUARANTINE, HEADER_SOURCE_OFFSET
from headrace_dedup.messages import AppendClean, AppendEdges, AppendQuarantine, Prepared, RawRecord
from headrace_dedup.ports import OwnerIdentity, Rules, Table

__all__ = ["Outputs", "Place", "Range", "RangeBuilder", "accepted_entries", "sends_nothing", "undo_range"]

_ID_BYTES = 16
_OURS = frozenset({HEADER_SOURCE_OFFSET, HEADER_QUARANTINE})


def _only(verdict: Verdict) -> bytes:
    """A table for `bytes.translate` that makes of verdicts the selectors of `itertools.compress`."""
    return bytes(code == verdict for code in range(256))


_IS_ACCEPTED, _IS_QUARANTINED = _only(Verdict.ACCEPTED), _only(Verdict.QUARANTINED)
_NO_COLUMNS = BlockColumns(b"", b"", b"", b"", b"", b"")
_UNFINISHED = 0
"""Fingerprint version of blocks that a rebuild writes until it is complete; it compares as equal to every other."""


@dataclass(slots=True)
class Outputs:
    """Columns of the records that a range sends to events.clean, events.quarantine and identity.edges."""

    clean_offsets: list[int] = field(default_factory=list)
    clean_keys: list[bytes] = field(default_factory=list)
    clean_values: list[bytes] = field(default_factory=list)
    fingerprints: list[int] = field(default_factory=list)
    quarantine_offsets: list[int] = field(default_factory=list)
    quarantine_keys: list[bytes] = field(default_factory=list)
    quarantine_values: list[bytes] = field(default_factory=list)
    quarantine_headers: list[list[tuple[str, bytes]]] = field(default_factory=list)
    edge_keys: list[bytes] = field(default_factory=list)
    edge_values: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything goes out; edges come of accepted events alone."""
        return bool(self.clean_offsets or self.quarantine_offsets)

    def clean(self, ticket: int) -> AppendClean:
        """To events.clean."""
        return AppendClean(ticket, self.clean_offsets, self.clean_keys, self.clean_values, self.fingerprints)

    def quarantine(self, ticket: int) -> AppendQuarantine:
        """To events.quarantine."""
        return AppendQuarantine(
            ticket,
            self.quarantine_offsets,
            self.quarantine_keys,
            self.quarantine_values,
            self.quarantine_headers,
        )

    def edges(self, ticket: int) -> AppendEdges:
        """To identity.edges."""
        return AppendEdges(ticket, self.edge_keys, self.edge_values)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a range stands: its offsets, and the offset of dedup.index that its block is meant for."""

    start: int
    end: int
    meant_for: int
    clock_before_ms: int


@dataclass(slots=True)
class Range:
    """A range that was decided; ``undo`` is (id, entry before) of each update of the table."""

    place: Place
    clock_ms: int
    value: bytes
    """The block."""
    undo: Sequence[tuple[bytes, int]] = ()
    learned: tuple[Sequence[bytes], Sequence[int]] = ((), ())
    """Ids and entries for the table."""
    outputs: Outputs = field(default_factory=Outputs)
    accepted: int = 0
    duplicates: int = 0
    quarantined: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it covers no offsets (rule D7)."""
        return self.place.start == self.place.end


Decide = Callable[[Sequence[int], Prepared], Decision]
"""Offsets and columns of a range to its decision, the table not changed yet."""


class RangeBuilder:
    """Builds the ranges of one partition under one version of the rules."""

    def __init__(self, identity: OwnerIdentity, rules: Rules) -> None:
        self._identity, self._rules = identity, rules

    def decided(
        self,
        place: Place,
        records: Sequence[RawRecord],
        columns: Prepared,
        decide: Decide,
        *,
        unfinished: bool,
    ) -> Range:
        """The range of ``records``. ``unfinished`` marks its block as part of a rebuild that is not complete."""
        offsets = [record.offset for record in records]
        decision = decide(offsets, columns)
        clock_ms = partition_clock(place.clock_before_ms, [record.timestamp for record in records])
        version = _UNFINISHED if unfinished else self._rules.fingerprint_version
        header = self._header(place, clock_ms, len(offsets), self._rules.rules_version, version)
        stored = _stored(place.start, offsets, columns.ids, columns.fingerprints, decision)
        outputs = self._outputs(records, columns, decision.verdicts, decision.reasons, decision.first_offsets)
        _add_edges(outputs, columns, decision.verdicts)
        return Range(
            place,
            clock_ms,
            assemble_block(header, stored),
            decision.undo,
            (decision.updated_ids, decision.updated_entries),
            outputs,
            accepted=len(outputs.clean_offsets),
            duplicates=decision.verdicts.count(Verdict.DUPLICATE),
            quarantined=Counter(filter(None, decision.reasons)),
        )

    def empty(self, place: Place, clock_ms: int, *, unfinished: bool) -> Range:
        """A block without rows, which certifies that everything below it is out. ``unfinished`` as in `decided`."""
        version = _UNFINISHED if unfinished else self._rules.fingerprint_version
        header = self._header(place, clock_ms, 0, self._rules.rules_version, version)
        return Range(place, clock_ms, assemble_block(header, _NO_COLUMNS))

    def rebuilt(
        self, place: Place, clock_ms: int, offsets: Sequence[int], ids: Sequence[bytes], table: Table
    ) -> Range:
        """A block of what events.clean says was accepted (--rebuild-index): rules version 0, nothing to send."""
        count = len(offsets)
        decision = Decision(bytes([Verdict.ACCEPTED]) * count, (0,) * count, (-1,) * count, (), (), ())
        stored = _stored(place.start, offsets, ids, [0] * count, decision)
        header = self._header(place, clock_ms, count, 0, _UNFINISHED)
        last = dict(zip(ids, offsets, strict=True))
        undo = list(zip(last, table.get_many(list(last)), strict=True))
        learned = list(last), [entry(offset, None) for offset in last.values()]
        return Range(place, clock_ms, assemble_block(header, stored), undo, learned, accepted=count)

    def again(self, header: BlockHeader, columns: BlockColumns, records: Sequence[RawRecord]) -> Outputs:
        """What a block's range sends, by its recorded verdicts.

        ConfigurationError where the log no longer has the records; Bug where these rules cannot build an event that the
        block accepted (rule D7).
        """
        offsets = (np.frombuffer(columns.deltas, dtype="<u4").astype(np.int64) + header.start).tolist()
        by_offset = {record.offset: record for record in records}
        missing = [offset for offset in offsets if offset not in by_offset]
        if missing:
            raise _records_gone(header, missing)
        rows = [by_offset[offset] for offset in offsets]
        prepared = self._rules.prepare(self._identity.partition, rows)
        prepared.ids = _split(columns.dedup_ids)
        if header.fingerprint_version == self._rules.fingerprint_version:
            prepared.fingerprints = np.frombuffer(columns.fingerprints, dtype="<u8").tolist()
        verdicts = bytes(columns.verdicts)
        self._check_buildable(header, offsets, verdicts, prepared)
        reasons = np.frombuffer(columns.reasons, dtype="<u2").tolist()
        firsts = np.frombuffer(columns.first_offsets, dtype="<i8").tolist()
        outputs = self._outputs(rows, prepared, verdicts, reasons, firsts)
        _add_edges(outputs, prepared, verdicts)
        return outputs

    def _check_buildable(
        self, header: BlockHeader, offsets: Sequence[int], verdicts: bytes, prepared: Prepared
    ) -> None:
        for offset, verdict, value, reason in zip(
            offsets, verdicts, prepared.values, prepared.reasons, strict=True
        ):
            if verdict == Verdict.ACCEPTED and value is None:
                raise Bug(
                    f"Offset {offset} of partition {header.partition} was accepted under rules version "
                    f"{header.rules_version}, and this code (version {self._rules.rules_version}) cannot build its event.",
                    why=f"This code finds {reason_of(reason).code}; a verdict is never changed.",
                    fix=f"Deploy code that knows rules version {header.rules_version} or a later one that reads it.",
                    code="accepted_record_cannot_be_built",
                )

    def _header(
        self, place: Place, clock_ms: int, count: int, rules_version: int, fingerprint_version: int
    ) -> BlockHeader:
        return BlockHeader(
            cluster_id=self._identity.cluster_id,
            topic_id=self._identity.topic_id,
            partition=self._identity.partition,
            index_offset=place.meant_for,
            start=place.start,
            end=place.end,
            clock_ms=clock_ms,
            schema_version=self._rules.schema_version,
            rules_version=rules_version,
            fingerprint_version=fingerprint_version,
            writer=self._identity.writer,
            count=count,
        )

    @staticmethod
    def _outputs(
        records: Sequence[RawRecord],
        columns: Prepared,
        verdicts: bytes,
        reasons: Sequence[int],
        firsts: Sequence[int],
    ) -> Outputs:
        accepted = verdicts.translate(_IS_ACCEPTED)
        out = Outputs(
            [record.offset for record in compress(records, accepted)],
            list(compress(columns.ids, accepted)),
            [value for value in compress(columns.values, accepted) if value is not None],
            list(compress(columns.fingerprints, accepted)),
        )
        for at in compress(range(len(verdicts)), verdicts.translate(_IS_QUARANTINED)):
            reason = reasons[at]
            detail = columns.details.get(at, "") if reason == columns.reasons[at] else ""
            if reason == Reason.ID_CONFLICT.number:
                detail = f"offset {firsts[at]} was accepted with this id and other content"
            _add_quarantined(out, records[at], reason, detail)
        return out


def _add_edges(out: Outputs, columns: Prepared, verdicts: bytes) -> None:
    for at, edges in columns.edges.items():
        if verdicts[at] == Verdict.ACCEPTED:
            out.edge_keys += map(edge_key, edges)
            out.edge_values += map(encode_edge, edges)


def _add_quarantined(out: Outputs, record: RawRecord, reason: int, detail: str) -> None:
    key = record.key or b""
    note = QuarantineNote(reason=_code(reason), stage="dedup", detail=detail)
    kept = [(name, value or b"") for name, value in record.headers if name not in _OURS]
    out.quarantine_offsets.append(record.offset)
    out.quarantine_keys.append(key if len(key) == _ID_BYTES else b"")
    out.quarantine_values.append(record.value or b"")
    out.quarantine_headers.append(
        [
            *kept,
            (HEADER_SOURCE_OFFSET, encode_source_offset(record.offset)),
            (HEADER_QUARANTINE, encode_note(note)),
        ]
    )


def _code(number: int) -> str:
    try:
        return reason_of(number).code
    except KeyError as error:
        raise Bug(
            f"A block quarantines a record for reason {number}, which this code does not know.",
            why="A newer version of the code wrote the block.",
            fix="Deploy that version again, or a later one.",
            code="reason_unknown",
        ) from error


def _stored(
    start: int, offsets: Sequence[int], ids: Sequence[bytes], fingerprints: Sequence[int], decision: Decision
) -> BlockColumns:
    return BlockColumns(
        deltas=(np.array(offsets, dtype=np.int64) - start).astype("<u4").tobytes(),
        verdicts=decision.verdicts,
        reasons=np.array(decision.reasons, dtype="<u2").tobytes(),
        first_offsets=np.array(decision.first_offsets, dtype="<i8").tobytes(),
        fingerprints=np.array(fingerprints, dtype="<u8").tobytes(),
        dedup_ids=b"".join(ids),
    )


def accepted_entries(
    header: BlockHeader, columns: BlockColumns, fingerprint_version: int
) -> tuple[bytes, list[int]]:
    """What a valid block teaches the table: the joined ids of its accepted rows and their entries."""
    rows = np.flatnonzero(np.frombuffer(columns.verdicts, dtype=np.uint8) == Verdict.ACCEPTED)
    ids = np.frombuffer(columns.dedup_ids, dtype="V16")[rows].tobytes()
    offsets = np.frombuffer(columns.deltas, dtype="<u4")[rows].astype(np.uint64) + np.uint64(header.start)
    entries = (offsets + np.uint64(1)) << np.uint64(TAG_BITS)
    if header.fingerprint_version == fingerprint_version:
        contents = np.frombuffer(columns.fingerprints, dtype="<u8")[rows]
        entries |= contents % np.uint64(TAG_MODULUS) + np.uint64(1)
    return ids, entries.tolist()


def sends_nothing(header: BlockHeader, columns: BlockColumns) -> bool:
    """Whether a block's range has no outputs: no rows, only duplicates, or rebuilt from what is in events.clean."""
    rows = bytes(columns.verdicts)
    return header.rules_version == 0 or rows.count(Verdict.DUPLICATE) == len(rows)


def undo_range(table: Table, undo: Sequence[tuple[bytes, int]], dead: int) -> None:
    """Give the table back what it held before a range, expired entries too; ``dead`` stands for what it did not hold."""
    table.set_many(
        [identity for identity, _ in undo], [dead if before == ABSENT else before for _, before in undo]
    )


def _split(ids: bytes | memoryview) -> list[bytes]:
    data = bytes(ids)
    return [data[at : at + _ID_BYTES] for at in range(0, len(data), _ID_BYTES)]


def _records_gone(header: BlockHeader, missing: Sequence[int]) -> ConfigurationError:
    return ConfigurationError(
        f"{len(missing)} raw records of the last decided range of partition {header.partition} are gone, "
        f"the first at offset {missing[0]}.",
        why="Retention removed them while no worker ran, so it cannot be known whether their outputs went out.",
        fix="Compare the range's block with events.clean and events.quarantine; start with --rebuild-index to go on "
        "without sending them again. The raw archive in the object store still has the records.",
        code="raw_records_gone",
    )
