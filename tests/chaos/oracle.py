"""What must be true of the logs, at every moment: the invariants, checked as records appear.

The oracle reads the logs from outside and knows nothing of the workers. It finds a violation once per code and keeps the
first of each; a code names the invariant of `docs/reliability.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.chaos.log import SimulatedLog, SimulatedRecord
from tests.chaos.traffic import clean_event

from headrace_core.block import Block, BlockHeader, Verdict, decode_block, is_valid_at
from headrace_core.events import CleanEvent, decode_clean
from headrace_core.identity import edge_key, edges_of, encode_edge
from headrace_core.meta import decode_source_offset
from headrace_core.topics import (
    DEDUP_INDEX,
    EVENTS_CLEAN,
    EVENTS_QUARANTINE,
    EVENTS_RAW,
    HEADER_SOURCE_OFFSET,
    IDENTITY_EDGES,
)

__all__ = ["Oracle", "PartitionOracle", "ValidBlock", "Violations", "content_differs"]


KeyedEdge = tuple[bytes, bytes]
"""Key and value of a record of identity.edges."""


@dataclass(frozen=True, slots=True)
class ValidBlock:
    """What a valid block teaches: where it stands and starts, its clock, and the offset of each id that it accepts."""

    index_offset: int
    start: int
    clock_ms: int
    accepted: dict[bytes, int]


@dataclass(slots=True)
class Violations:
    """The first message of each code."""

    found: dict[str, str] = field(default_factory=dict)

    def add(self, code: str, message: str) -> None:
        """Note a violation unless the code has one."""
        self.found.setdefault(code, message)


def content_differs(row: CleanEvent, raw: SimulatedRecord) -> bool:
    """Whether a row says anything else than its raw record does (positions and versions apart)."""
    return row != clean_event(raw.value, row.rules_version, row.src_partition, row.src_offset)


class PartitionOracle:
    """The verdicts, outputs and rules of one partition, kept up with its logs."""

    def __init__(
        self,
        log: SimulatedLog,
        partition: int,
        violations: Violations,
        *,
        window_ms: int,
        every_block_counts: bool,
        edges: set[KeyedEdge],
    ) -> None:
        self._log, self._partition, self._window_ms = log, partition, window_ms
        self._edges = edges
        self.edges_due: set[KeyedEdge] = set()
        """Edges of the events that were accepted."""
        self._every_block_counts = every_block_counts
        self._bad = violations
        self.raw: dict[int, SimulatedRecord] = {}
        self.verdicts: dict[int, tuple[Verdict, int, int]] = {}
        """By raw offset: verdict, reason, first offset."""
        self.clean: set[int] = set()
        self.quarantined: set[int] = set()
        self.position = 0
        """End of the last valid block."""
        self.clock_ms = 0
        self.voids = 0
        self._index_lost = False
        self._decided_before: set[int] = set()
        """Offsets whose verdict stood in an index that was lost."""
        self.valid_blocks: list[ValidBlock] = []
        self._newest_ms = 0
        self._clock_at: dict[int, int] = {}
        """By raw offset: the running maximum of append times."""
        self._accepted: dict[bytes, int] = {}
        """By dedup id: the clock of its last acceptance."""
        self.accepted_ids: dict[int, bytes] = {}
        self._outputs: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
        self._edges_out: frozenset[KeyedEdge] = frozenset()
        self._seen = {topic.name: 0 for topic in (EVENTS_RAW, DEDUP_INDEX, EVENTS_CLEAN, EVENTS_QUARANTINE)}

    def observe(self) -> None:
        """Take in what was appended since the last call."""
        for record in self._new(EVENTS_RAW.name):
            self.raw[record.offset] = record
            self._newest_ms = max(self._newest_ms, record.timestamp)
            self._clock_at[record.offset] = self._newest_ms
        for record in self._new(DEDUP_INDEX.name):
            self._on_index(record)
        for record in self._new(EVENTS_QUARANTINE.name):
            self._on_quarantine(record)
        for record in self._new(EVENTS_CLEAN.name):
            self._on_clean(record)

    def _new(self, topic: str) -> list[SimulatedRecord]:
        records = self._log.all((topic, self._partition))
        done = self._seen[topic]
        if done == len(records):
            return []
        self._seen[topic] = len(records)
        return records[done:]

    def _on_index(self, record: SimulatedRecord) -> None:
        block = decode_block(record.value)
        if not is_valid_at(block.header, record.offset):
            self.voids += 1
            if not self._every_block_counts or block.header.start < self.position:
                return
        if self._index_lost:
            self.position, self.clock_ms = block.header.start, block.header.clock_ms
            self._index_lost = False
        if block.header.start != self.position:
            self._bad.add(
                "I6 blocks", f"block [{block.header.start},{block.header.end}) follows {self.position}"
            )
        clean, quarantined = self._outputs
        if not clean <= self.clean or not quarantined <= self.quarantined:
            missing = sorted((clean - self.clean) | (quarantined - self.quarantined))
            self._bad.add(
                "J1 outputs", f"a block was appended at {record.offset} before {missing} below it were out"
            )
        if not self._edges_out <= self._edges:
            self._bad.add(
                "J1 edges", f"a block was appended at {record.offset} before edges below it were out"
            )
        if block.header.rules_version:
            self._take_verdicts(block)
        else:
            self._take_rebuilt(block)
        self.position = block.header.end
        accepted = {self.accepted_ids[o]: o for o in block.offsets if self.verdicts[o][0] is Verdict.ACCEPTED}
        self.valid_blocks.append(
            ValidBlock(record.offset, block.header.start, block.header.clock_ms, accepted)
        )

    def forget_index(self) -> None:
        """The index is lost; its verdicts stay known, a rebuild begins where it likes."""
        self.observe()
        self._seen[DEDUP_INDEX.name] = 0
        self.valid_blocks, self._outputs = [], (frozenset(), frozenset())
        self._edges_out = frozenset()
        self._index_lost, self._decided_before = True, set(self.verdicts)

    def _take_rebuilt(self, block: Block) -> None:
        """A block that says again what was accepted before."""
        self.clock_ms, self._outputs = block.header.clock_ms, (frozenset(), frozenset())
        self._edges_out = frozenset()
        for i, offset in enumerate(block.offsets):
            if self.accepted_ids.get(offset) != block.dedup_ids[16 * i : 16 * i + 16]:
                self._bad.add("I5 rebuilt", f"a rebuild says that {offset} was accepted")

    def _take_verdicts(self, block: Block) -> None:
        header = block.header
        offsets = [o for o in range(header.start, header.end) if o in self.raw]
        clock_ms = max([self.clock_ms, *(self.raw[offset].timestamp for offset in offsets)])
        if header.clock_ms != clock_ms:
            self._bad.add(
                "J2 clock", f"block at {header.index_offset} says {header.clock_ms}, the log {clock_ms}"
            )
        self.clock_ms = clock_ms
        if list(block.offsets) != offsets:
            self._bad.add(
                "I5 complete", f"block [{header.start},{header.end}) covers {block.offsets}, not {offsets}"
            )
        clean: set[int] = set()
        quarantined: set[int] = set()
        for i, offset in enumerate(block.offsets):
            verdict = Verdict(block.verdicts[i])
            if offset in self.verdicts:
                self._second_verdict(offset, verdict)
            self.verdicts[offset] = (verdict, block.reasons[i], block.first_offsets[i])
            identity = block.dedup_ids[16 * i : 16 * i + 16]
            if verdict is Verdict.ACCEPTED:
                clean.add(offset)
                self._accept(identity, offset)
            elif verdict is Verdict.QUARANTINED:
                quarantined.add(offset)
            else:
                self._duplicate(identity, offset, block.first_offsets[i])
        self._outputs = frozenset(clean), frozenset(quarantined)
        self._edges_out = frozenset(edge for offset in clean for edge in self._edges_of(offset, header))
        self.edges_due |= self._edges_out

    def _edges_of(self, offset: int, header: BlockHeader) -> list[KeyedEdge]:
        clean = clean_event(self.raw[offset].value, header.rules_version, self._partition, offset)
        return [(edge_key(edge), encode_edge(edge)) for edge in edges_of(clean)]

    def _second_verdict(self, offset: int, verdict: Verdict) -> None:
        """Only after the loss of the index, of what it had for a duplicate, or had quarantined and does again."""
        before = self.verdicts[offset][0]
        again = {Verdict.DUPLICATE: set(Verdict), Verdict.QUARANTINED: {Verdict.QUARANTINED}}
        if offset not in self._decided_before or verdict not in again.get(before, set()):
            self._bad.add("I5 verdicts", f"offset {offset} has the verdicts {before!r} and {verdict!r}")

    def _accept(self, identity: bytes, offset: int) -> None:
        # The clock at the record itself: a later record of its range must not excuse a copy.
        clock_ms = self._clock_at[offset]
        before_ms = self._accepted.get(identity)
        if before_ms is not None and clock_ms - before_ms < self._window_ms:
            self._bad.add(
                "I2 window", f"offset {offset} accepted {clock_ms - before_ms} ms after its first copy"
            )
        self._accepted[identity] = clock_ms
        self.accepted_ids[offset] = identity

    def _duplicate(self, identity: bytes, offset: int, first: int) -> None:
        known = self.verdicts.get(first)
        if known is None or known[0] is not Verdict.ACCEPTED or self.accepted_ids.get(first) != identity:
            self._bad.add(
                "I5 duplicate", f"offset {offset} is a duplicate of {first}, which was not accepted as it"
            )

    def _on_quarantine(self, record: SimulatedRecord) -> None:
        source = self._source_offset(record)
        self.quarantined.add(source)
        raw = self.raw.get(source)
        if raw is None or raw.value != record.value:
            self._bad.add("I4 quarantine", f"record {record.offset} of quarantine is not raw record {source}")
        if self.verdicts.get(source, (None,))[0] is not Verdict.QUARANTINED:
            self._bad.add(
                "I5 quarantine", f"offset {source} is in quarantine, its verdict {self.verdicts.get(source)}"
            )

    def _on_clean(self, record: SimulatedRecord) -> None:
        source = self._source_offset(record)
        self.clean.add(source)
        raw = self.raw.get(source)
        row = decode_clean(record.value)
        if raw is None or row.src_offset != source or content_differs(row, raw):
            self._bad.add(
                "I4 clean", f"record {record.offset} of clean does not say what raw record {source} says"
            )
        if self.verdicts.get(source, (None,))[0] is not Verdict.ACCEPTED:
            self._bad.add("I5 clean", f"offset {source} is in clean, its verdict {self.verdicts.get(source)}")

    @staticmethod
    def _source_offset(record: SimulatedRecord) -> int:
        header = record.header(HEADER_SOURCE_OFFSET)
        assert header is not None
        return decode_source_offset(header)

    def first_remembered(self) -> int:
        """Offset in the index of the first block that the memory rests on: whoever starts may begin to read there."""
        if not self.valid_blocks:
            return 0
        limit_ms = self.valid_blocks[-1].clock_ms - self._window_ms
        return next(block.index_offset for block in self.valid_blocks if block.clock_ms > limit_ms)

    def remembered(self, index_end: int) -> tuple[int, dict[bytes, int]]:
        """What who has read the index to here must remember: the horizon of the last valid block, and the offsets of the
        ids above it."""
        blocks = [block for block in self.valid_blocks if block.index_offset < index_end]
        if not blocks:
            return 0, {}
        limit_ms = blocks[-1].clock_ms - self._window_ms
        living = [block for block in blocks if block.clock_ms > limit_ms]
        known: dict[bytes, int] = {}
        for block in living:
            known.update(block.accepted)
        return living[0].start, known

    def at_rest(self) -> None:
        """After healing: every raw record has a verdict, and every output is out."""
        self.observe()
        undecided = self.raw.keys() - self.verdicts.keys()
        if undecided:
            self._bad.add("I5 undecided", f"offsets {sorted(undecided)[:5]} have no verdict")
        for offset, (verdict, _, _) in self.verdicts.items():
            if verdict is Verdict.QUARANTINED and offset not in self.quarantined:
                self._bad.add("I1 quarantine", f"offset {offset} is quarantined and nowhere in quarantine")
        if lost := self.edges_due - self._edges:
            self._bad.add("I1 edges", f"{len(lost)} edges of accepted events are nowhere in identity.edges")


class Oracle:
    """All partitions. `every_block_counts`: of several blocks the first that covers an offset is its verdict, wherever it
    stands (what readers do where compare-and-append is taken away)."""

    def __init__(
        self,
        log: SimulatedLog,
        partitions: int,
        violations: Violations,
        *,
        window_ms: int,
        every_block_counts: bool,
    ) -> None:
        self._log, self._bad = log, violations
        self._edges: set[KeyedEdge] = set()
        self._edges_seen = 0
        self.partitions = [
            PartitionOracle(
                log,
                p,
                violations,
                window_ms=window_ms,
                every_block_counts=every_block_counts,
                edges=self._edges,
            )
            for p in range(partitions)
        ]

    def observe(self) -> None:
        """Take in what was appended since the last call."""
        new = self._log.all((IDENTITY_EDGES.name, 0))[self._edges_seen :]
        self._edges_seen += len(new)
        self._edges.update((record.key or b"", record.value) for record in new)
        for partition in self.partitions:
            partition.observe()
        due = [partition.edges_due for partition in self.partitions]
        for record in new:
            if not any((record.key, record.value) in edges for edges in due):
                self._bad.add("I5 edges", f"edge {record.offset} is of no event that was accepted")
