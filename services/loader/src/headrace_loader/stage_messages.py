"""What the stager of a partition is told and what it asks for: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from headrace_core.manifest import ChainEnd, File, Manifest
from headrace_core.paths import ChainKind
from headrace_runtime.ports_log import Record

__all__ = [
    "Action",
    "Announce",
    "Answer",
    "Build",
    "Built",
    "ChainIdentity",
    "ChainRead",
    "ChainUnread",
    "Contents",
    "CreateManifest",
    "Cut",
    "CutLimits",
    "Event",
    "Fetched",
    "Intake",
    "ManifestCreated",
    "ObjectsPut",
    "ObjectsUnput",
    "Pressure",
    "PutObjects",
    "ReadChain",
    "Seek",
    "Tick",
]

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class ChainIdentity:
    """Whose offsets a chain counts. A topic made anew has another id and may never continue an old chain."""

    kind: ChainKind
    partition: int
    topic: str
    topic_id: str
    cluster_id: str


@dataclass(frozen=True, slots=True)
class CutLimits:
    """A cut is made at the first of these: `max_bytes` of row values, `max_rows`, `max_age_s` after its first record."""

    max_bytes: int = 64 << 20
    max_rows: int = 1_000_000
    max_age_s: float = 60.0


class Intake(Protocol[RowT]):
    """Turns records of one topic into rows. Pure; raises Bug where a record breaks the topic's contract."""

    @property
    def schema_version(self) -> int:
        """Version of the rows, for manifests that hold none."""

    def rows(self, records: Sequence[Record]) -> tuple[list[int], list[RowT]]:
        """Source offsets and rows, parallel, in log order. A record may give none (a void block) or many (a block)."""

    def size_bytes(self, rows: Sequence[RowT]) -> int:
        """Memory that the rows hold, about."""


@dataclass(frozen=True, slots=True)
class Cut(Generic[RowT]):
    """What one manifest will cover: offsets [start, end) of the topic and the rows in them that are no repeats.

    `key` is the key of the data object, fixed before it is built. Append times in ms are those of the first record and
    of the latest, repeats included; None where no record was read, only holes.
    """

    identity: ChainIdentity
    start: int
    end: int
    max_source_offset: int
    rows: list[RowT]
    repeats: int
    first_append_ms: int | None
    last_append_ms: int | None
    key: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What was built from a cut with rows: objects as (key, bytes), the data object last, and the manifest's facts."""

    objects: tuple[tuple[str, bytes], ...]
    file: File
    schema_version: int
    content: str
    rows_by_event_date: dict[str, int]
    min_received_ts: int | None = None
    max_received_ts: int | None = None


# Events: what happened.


@dataclass(frozen=True, slots=True)
class ChainRead:
    """The chain ends here, as read from the store after the ReadChain that asked."""

    end: ChainEnd


@dataclass(frozen=True, slots=True)
class ChainUnread:
    """The chain could not be read now."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of the partition, read from position `start` on; `next_offset` is the position behind them and behind
    holes. Ignored where `start` is not the stager's position: then they were asked for before a Seek."""

    start: int
    records: Sequence[Record]
    next_offset: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """The process holds too much: cut what there is."""


@dataclass(frozen=True, slots=True)
class Built:
    """The cut of this ticket was built."""

    ticket: int
    contents: Contents


@dataclass(frozen=True, slots=True)
class ObjectsPut:
    """All objects of this ticket are stored."""

    ticket: int


@dataclass(frozen=True, slots=True)
class ObjectsUnput:
    """Not all objects of this ticket could be stored now."""

    ticket: int


@dataclass(frozen=True, slots=True)
class ManifestCreated:
    """How the creation ended: `won`; `lost`, another manifest stands there; `unknown`, no clear answer came."""

    ticket: int
    outcome: Literal["won", "lost", "unknown"]


Answer = Built | ObjectsPut | ObjectsUnput | ManifestCreated
"""What answers a ticket."""

Event = ChainRead | ChainUnread | Fetched | Tick | Pressure | Answer


# Actions: what the driver has to do. `delay_s` is to be waited before it.


@dataclass(frozen=True, slots=True)
class ReadChain:
    """Read where the chain ends; answer ChainRead or ChainUnread."""

    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Seek:
    """Fetch the partition from this offset on; answer with Fetched again and again."""

    offset: int


@dataclass(frozen=True, slots=True)
class Build(Generic[RowT]):
    """Build the objects of a cut; answer Built."""

    ticket: int
    cut: Cut[RowT]


@dataclass(frozen=True, slots=True)
class PutObjects:
    """Store the objects, overwriting; answer ObjectsPut or ObjectsUnput."""

    ticket: int
    objects: tuple[tuple[str, bytes], ...]
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class CreateManifest:
    """Create the manifest's object, once; answer ManifestCreated. `if_absent` is False in planted bugs only."""

    ticket: int
    key: str
    manifest: Manifest
    if_absent: bool = True


@dataclass(frozen=True, slots=True)
class Announce:
    """The manifest is part of the chain: tell, count, commit the hint. Nothing depends on it."""

    manifest: Manifest
    repeats: int
    cut_age_s: float
    """Seconds from the cut to its manifest."""


Action = ReadChain | Seek | Build[RowT] | PutObjects | CreateManifest | Announce
