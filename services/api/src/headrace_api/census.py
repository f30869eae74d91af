"""The census: what became of every raw record, counted from the index, the quarantine, the manifests and the ledger.

Pure: the loops of headrace_api.feeds read and hand over, this module adds up and says whether the parts agree. Memory is
bounded: counters per minute, and the newest blocks of each partition for look-ups.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

from headrace_core.block import Block, Verdict, is_valid_at
from headrace_core.manifest import Manifest
from headrace_core.reasons import reason_of

__all__ = [
    "Census",
    "Check",
    "Counts",
    "FoundVerdict",
    "LedgerSummary",
    "Minute",
    "PartitionCensus",
    "Totals",
]


_VERDICT_NAME: dict[int, str] = {
    Verdict.ACCEPTED: "accepted",
    Verdict.DUPLICATE: "duplicate",
    Verdict.QUARANTINED: "quarantined",
}


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Events by what became of them. ``received`` stands in events.raw; ``refused`` went to quarantine before it."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0
    refused: int = 0
    staged: int = 0
    loaded: int = 0


class Minute(Totals, frozen=True, kw_only=True):
    """The same of one minute (UTC, milliseconds of its start): each counted when it happened."""

    minute_ms: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One equation of the reconciliation; ``position`` says up to where both sides were counted."""

    name: str
    left: int
    right: int
    holds: bool
    position: str = ""


class LedgerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the warehouse says of loaded files. ``rows`` = inserted + present + suppressed where the ledger is sound."""

    files: int = 0
    rows: int = 0
    inserted: int = 0
    present: int = 0
    suppressed: int = 0
    set_aside: int = 0
    by_minute_ms: dict[int, int] = {}


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of /v1/counts.

    ``current`` means that the ends of the topics were read for this answer, so that nothing acknowledged before it is
    missing. ``settled`` means that moreover nothing is on its way: every equation is exact then.
    """

    totals: Totals
    in_flight: dict[str, int]
    quarantine_reasons: dict[str, int]
    warehouse: LedgerSummary
    checks: list[Check]
    reconciles: bool
    current: bool
    settled: bool
    minutes: list[Minute]


@dataclass(frozen=True, slots=True)
class FoundVerdict:
    """One row of an index block with the block's own facts. ``first_offset`` is -1 but for duplicates and conflicts."""

    partition: int
    offset: int
    verdict: Verdict
    reason: str
    first_offset: int
    fingerprint: int
    dedup_id: bytes
    index_offset: int
    clock_ms: int
    rules_version: int


@dataclass(slots=True)
class PartitionCensus:
    """What is known of one partition. ``recent`` are the newest blocks, at most ``keep_records`` records in all."""

    keep_records: int
    decided_to: int = 0
    accepted: int = 0
    staged_rows: int = 0
    staged_to: int = -1
    """Running maximum of source offsets of the chain: accepted records up to here are staged."""
    chain_end: int = 0
    recent: deque[tuple[Block, int]] = field(default_factory=deque)
    """Blocks with the number of accepted records before each."""
    _held: int = 0

    def add(self, block: Block) -> None:
        """Take a valid block into account; an empty one certifies that everything below it is decided."""
        if block.is_empty:
            self.decided_to = max(self.decided_to, block.header.end)
            return
        if self.recent and block.header.start != self.decided_to:
            raise ValueError(f"block starts at {block.header.start}, {self.decided_to} expected")
        self.recent.append((block, self.accepted))
        self._held += block.header.count
        while self._held > self.keep_records and len(self.recent) > 1:
            self._held -= self.recent.popleft()[0].header.count
        self.accepted += block.verdicts.count(Verdict.ACCEPTED)
        self.decided_to = block.header.end

    def accepted_to(self, offset: int) -> int | None:
        """How many records up to and including ``offset`` were accepted; None where that is no longer or not yet known."""
        if offset >= self.decided_to:
            return None
        for block, before in reversed(self.recent):
            if block.header.start <= offset:
                upto = bisect_right(block.offsets, offset)
                return before + block.verdicts[:upto].count(Verdict.ACCEPTED)
        return 0 if offset < 0 else None

    def find(self, dedup_id: bytes) -> list[tuple[Block, int]]:
        """(block, row) of every held verdict about an id, oldest first."""
        found = []
        for block, _ in self.recent:
            at = block.dedup_ids.find(dedup_id)
            while at >= 0:
                if at % 16 == 0:
                    found.append((block, at // 16))
                at = block.dedup_ids.find(dedup_id, at + 1)
        return found


class Census:
    """The counts of an installation with ``partitions`` partitions."""

    def __init__(self, partitions: int, *, keep_records: int, keep_minutes: int) -> None:
        self._keep_minutes = keep_minutes
        self.partitions = [PartitionCensus(keep_records // partitions) for _ in range(partitions)]
        self._minutes: dict[int, Counter[str]] = {}
        self._verdicts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._refused = 0
        self.ledger = LedgerSummary()
        self.raw_ends: dict[int, int] = {}
        self.raw_beginnings: dict[int, int] = {}
        self.quarantine_ends: dict[int, int] = {}
        self.quarantine_to: dict[int, int] = {}
        """Up to where the quarantine was read, by partition."""

    def add_block(self, index_offset: int, block: Block) -> None:
        """Count a block of dedup.index; void ones say nothing, empty ones have nothing to count."""
        if not is_valid_at(block.header, index_offset):
            return
        self.partitions[block.header.partition].add(block)
        if block.is_empty:
            return
        minute = self._minute(block.header.clock_ms)
        minute["received"] += block.header.count
        for verdict, name in _VERDICT_NAME.items():
            count = block.verdicts.count(verdict)
            minute[name] += count
            self._verdicts[name] += count
        self._reasons.update(reason_of(number).code for number in block.reasons if number)

    def add_refused(self, appended_ms: int, reason: str) -> None:
        """Count a quarantine record that the ingest service wrote."""
        self._refused += 1
        self._reasons[reason] += 1
        self._minute(appended_ms)["refused"] += 1

    def add_manifest(self, manifest: Manifest) -> None:
        """Count a manifest of the chain of clean events."""
        partition = self.partitions[manifest.partition]
        partition.staged_rows += manifest.rows
        partition.staged_to = manifest.max_source_offset
        partition.chain_end = manifest.end
        self._minute(manifest.created_ms)["staged"] += manifest.rows

    def _minute(self, at_ms: int) -> Counter[str]:
        start = at_ms - at_ms % 60_000
        found = self._minutes.get(start)
        if found is None:
            found = self._minutes[start] = Counter()
            while len(self._minutes) > self._keep_minutes:
                del self._minutes[min(self._minutes)]
        return found

    def counts(self, minutes: int, *, current: bool) -> Counts:
        """Everything added up, with the newest ``minutes`` minutes. ``current``: the ends were read for this answer."""
        undecided = sum(self._undecided(p) for p in self.raw_ends)
        staged = sum(partition.staged_rows for partition in self.partitions)
        totals = Totals(
            received=sum(self._verdicts.values()) + undecided,
            accepted=self._verdicts["accepted"],
            duplicate=self._verdicts["duplicate"],
            quarantined=self._verdicts["quarantined"],
            refused=self._refused,
            staged=staged,
            loaded=self.ledger.rows,
        )
        in_flight = {
            "undecided": undecided,
            "unstaged": totals.accepted - staged,
            "unloaded": staged - totals.loaded - self.ledger.set_aside,
            "uncounted": self._uncounted(),
        }
        checks = [*self._staging_checks(), *self._warehouse_checks()]
        return Counts(
            totals=totals,
            in_flight=in_flight,
            quarantine_reasons=dict(self._reasons.most_common()),
            warehouse=self.ledger,
            checks=checks,
            reconciles=all(check.holds for check in checks) and min(in_flight.values()) >= 0,
            current=current,
            settled=current and not any(in_flight.values()),
            minutes=self._newest(minutes),
        )

    def _undecided(self, number: int) -> int:
        """Raw records of one partition past its last block. Never summed before: one ahead would hide one behind."""
        decided_to = max(self.partitions[number].decided_to, self.raw_beginnings.get(number, 0))
        return max(0, self.raw_ends[number] - decided_to)

    def _uncounted(self) -> int:
        """Quarantine records that this census has yet to read: refusals may be among them."""
        ends = self.quarantine_ends.items()
        return sum(max(0, end - self.quarantine_to.get(number, 0)) for number, end in ends)

    def _newest(self, minutes: int) -> list[Minute]:
        starts = sorted(self._minutes.keys() | self.ledger.by_minute_ms.keys())[-minutes:]
        return [
            Minute(
                minute_ms=start,
                loaded=self.ledger.by_minute_ms.get(start, 0),
                **self._minutes.get(start, Counter()),
            )
            for start in starts
        ]

    def _staging_checks(self) -> list[Check]:
        """Per partition: the rows of the chain are the accepted records up to the chain's last source offset."""
        checks = []
        for number, partition in enumerate(self.partitions):
            accepted = partition.accepted_to(partition.staged_to)
            if accepted is not None:
                checks.append(
                    Check(
                        name="accepted = staged",
                        left=accepted,
                        right=partition.staged_rows,
                        holds=accepted == partition.staged_rows,
                        position=f"events.raw {number} up to offset {partition.staged_to}",
                    )
                )
        return checks

    def _warehouse_checks(self) -> list[Check]:
        ledger = self.ledger
        parts = ledger.inserted + ledger.present + ledger.suppressed
        name = "loaded = inserted + present + suppressed"
        return [Check(name=name, left=ledger.rows, right=parts, holds=ledger.rows == parts)]

    def find(self, partition: int, dedup_id: bytes) -> list[FoundVerdict]:
        """All held verdicts about an id, oldest first."""
        return [_row(block, row) for block, row in self.partitions[partition].find(dedup_id)]

    def verdict_at(self, partition: int, offset: int) -> FoundVerdict | None:
        """The verdict of a raw record; None where it is undecided or older than what is held."""
        for block, _ in reversed(self.partitions[partition].recent):
            if block.header.start <= offset < block.header.end:
                row = bisect_right(block.offsets, offset) - 1
                return _row(block, row) if row >= 0 and block.offsets[row] == offset else None
        return None


def _row(block: Block, row: int) -> FoundVerdict:
    header = block.header
    return FoundVerdict(
        partition=header.partition,
        offset=block.offsets[row],
        verdict=Verdict(block.verdicts[row]),
        reason=reason_of(block.reasons[row]).code,
        first_offset=block.first_offsets[row],
        fingerprint=block.fingerprints[row],
        dedup_id=block.dedup_ids[16 * row : 16 * row + 16],
        index_offset=header.index_offset,
        clock_ms=header.clock_ms,
        rules_version=header.rules_version,
    )
