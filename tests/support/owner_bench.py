"""One partition's log in memory and owners on it, driven by hand: every append waits until the test lets it land."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from headrace_core.block import Block, Verdict, decode_block, is_valid_at
from headrace_core.identity import Edge, decode_edge
from headrace_core.keys import fingerprint
from headrace_core.reasons import Reason
from headrace_dedup import messages as m
from headrace_dedup.owner import Owner
from headrace_dedup.ports import Limits, OwnerIdentity, Table
from headrace_dedup.table import IdTable

__all__ = ["TIES", "WINDOW_MS", "Bench", "Driven", "LetterRules", "Raw", "edge_of", "verdicts_of"]

WINDOW_MS = 100
_Action = TypeVar("_Action")


@dataclass(frozen=True)
class Raw:
    """A raw record: ``letter`` is its id, ``content`` what its fingerprint is taken of."""

    offset: int
    timestamp: int
    letter: str
    content: str = ""

    @property
    def key(self) -> bytes:
        """The id, 16 bytes."""
        return self.letter.encode().ljust(16, b"\0")

    @property
    def value(self) -> bytes:
        """Id and content."""
        return f"{self.letter}:{self.content}".encode()

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """As ingest sets them."""
        return (("m", b"{}"), ("i", b"\0\0\0\0"))


TIES = "ties"
"""Content of an event that makes an edge."""


def edge_of(letter: str) -> Edge:
    """The edge that an event of this id makes."""
    return Edge(
        kind="anonymous",
        alias=letter,
        customer_id=f"customer {letter}",
        op="assert",
        source="bench",
        confidence=1.0,
        valid_from=0,
    )


class LetterRules:
    """Rules that refuse the contents in ``refused``; events with the content TIES make an edge."""

    schema_version = 1
    fingerprint_version = 1

    def __init__(self, rules_version: int = 1, refused: Collection[str] = ("bad",)) -> None:
        self.rules_version, self._refused = rules_version, refused

    def prepare(self, partition: int, records: Sequence[m.RawRecord]) -> m.Prepared:
        """See `headrace_dedup.ports.Rules`."""
        columns = m.Prepared()
        for position, record in enumerate(records):
            assert record.value is not None
            assert record.key is not None
            content = record.value.decode().partition(":")[2]
            refused = content in self._refused
            columns.ids.append(record.key)
            columns.sizes.append(len(record.value))
            columns.fingerprints.append(fingerprint(content.encode()))
            columns.reasons.append(Reason.INVALID_JSON.number if refused else 0)
            columns.values.append(None if refused else record.value)
            if refused:
                columns.details[position] = "refused"
            elif content == TIES:
                columns.edges[position] = (edge_of(record.key.rstrip(b"\0").decode()),)
        return columns


@dataclass
class Bench:
    """The topics of one partition. ``index`` holds blocks by offset."""

    raw: list[Raw] = field(default_factory=list)
    index: list[bytes] = field(default_factory=list)
    clean: list[int] = field(default_factory=list)
    quarantine: list[tuple[int, str]] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    raw_start: int = 0

    def add(self, letters: str, *, at: int = 0, content: str = "") -> None:
        """A raw record per letter, appended at a time."""
        for letter in letters:
            self.raw.append(Raw(self.raw_start + len(self.raw), at, letter, content))

    def owner(
        self,
        rules: LetterRules | None = None,
        *,
        writer: str = "a",
        table: Table | None = None,
        range_records: int = 100,
        rebuild_index: bool = False,
    ) -> "Driven":
        """An owner that was told nothing yet."""
        owner = Owner(
            OwnerIdentity("cluster", "topic", 0, writer),
            Limits(WINDOW_MS, range_records),
            rules or LetterRules(),
            IdTable(max_bytes=1 << 20) if table is None else table,
            rebuild_index=rebuild_index,
        )
        return Driven(self, owner)

    def valid(self) -> list[Block]:
        """The valid blocks."""
        blocks = [decode_block(value) for value in self.index]
        return [block for offset, block in enumerate(blocks) if is_valid_at(block.header, offset)]

    def verdicts(self) -> str:
        """A letter per decided record: A, D or Q."""
        return "".join(map(verdicts_of, self.valid()))


def verdicts_of(block: Block) -> str:
    """A letter per row: A, D or Q."""
    return "".join(Verdict(verdict).name[0] for verdict in block.verdicts)


@dataclass
class Driven:
    """An owner and the actions that wait to be carried out."""

    bench: Bench
    owner: Owner
    todo: list[m.Action] = field(default_factory=list)

    def tell(self, event: m.Event) -> list[m.Action]:
        """Hand an event over; its actions, which wait in ``todo`` too."""
        actions = self.owner.handle(event)
        self.todo += actions
        return actions

    def take(self, kind: type[_Action]) -> _Action:
        """The only waiting action of a kind, taken out."""
        found = [action for action in self.todo if isinstance(action, kind)]
        assert len(found) == 1, self.todo
        self.todo = [action for action in self.todo if action is not found[0]]
        return found[0]

    def has(self, kind: type[m.Action]) -> bool:
        """Whether an action of a kind waits."""
        return any(isinstance(action, kind) for action in self.todo)

    def start(self) -> "Driven":
        """Begin, read the index and whatever else is asked for, until it is live or wants an append."""
        bench = self.bench
        self.tell(m.Begin(bench.raw_start, bench.raw_start + len(bench.raw), 0))
        return self.read_on()

    def read_on(self) -> "Driven":
        """Answer every read."""
        while asked := [a for a in self.todo if isinstance(a, m.ReadIndex | m.AskOrigin | m.ReadRange)]:
            self.todo.remove(asked[0])
            self.tell(self._answer(asked[0]))
        return self

    def _answer(self, action: m.ReadIndex | m.AskOrigin | m.ReadRange) -> m.Event:
        bench = self.bench
        if isinstance(action, m.ReadIndex):
            records = [m.IndexRecord(at, value) for at, value in enumerate(bench.index)]
            return m.IndexRead(records[action.position :], len(bench.index), at_end=True)
        if isinstance(action, m.AskOrigin):
            return m.Origin(not bench.clean, bool(bench.quarantine), has_manifest=False)
        return m.RangeRead([r for r in bench.raw if action.start <= r.offset < action.end])

    def feed(self, count: int | None = None) -> "Driven":
        """Hand over the next raw records and say that they are due."""
        position = self.owner.position
        records = [record for record in self.bench.raw if record.offset >= position][:count]
        end = records[-1].offset + 1 if records else position
        self.tell(m.RawRead(records, end))
        self.tell(m.RangeDue())
        return self

    def land_block(self, *, answered: bool = True) -> int:
        """Append the waiting block; the offset it got."""
        action = self.take(m.AppendBlock)
        self.bench.index.append(action.value)
        offset = len(self.bench.index) - 1
        self.tell(
            m.BlockAppended(action.ticket, offset) if answered else m.AppendFailed(action.ticket, "no answer")
        )
        return offset

    def land_outputs(self) -> "Driven":
        """Append what waits for clean, quarantine and edges, and acknowledge it."""
        if self.has(m.AppendClean):
            clean = self.take(m.AppendClean)
            self.bench.clean += clean.offsets
            self.tell(m.OutputAppended(clean.ticket))
        if self.has(m.AppendQuarantine):
            quarantine = self.take(m.AppendQuarantine)
            for offset, headers in zip(quarantine.offsets, quarantine.headers, strict=True):
                self.bench.quarantine.append((offset, dict(headers)["q"].decode()))
            self.tell(m.OutputAppended(quarantine.ticket))
        if self.has(m.AppendEdges):
            edges = self.take(m.AppendEdges)
            self.bench.edges += map(decode_edge, edges.values)
            self.tell(m.OutputAppended(edges.ticket))
        return self

    def settle(self) -> "Driven":
        """Let everything land until nothing waits."""
        while any(map(self.has, (m.AppendBlock, m.AppendClean, m.AppendQuarantine, m.AppendEdges))):
            if self.has(m.AppendBlock):
                self.land_block()
            self.land_outputs()
        return self

    def recover(self) -> "Driven":
        """Confirm the ownership and read on."""
        self.take(m.Recover)
        self.tell(m.OwnershipConfirmed())
        return self.read_on()

    def stopped(self) -> Exception:
        """The error with which it stopped."""
        return self.take(m.Stop).error
