"""The stager of one partition: a state machine without I/O, clock or randomness (rules S1, S2).

The driver calls `handle` with what happened and carries out the actions that come back. Whatever it does, however late
or never its answers come, the chain of manifests stays exact, because only a manifest created with If-None-Match at
the chain's end makes rows readable:

    ReadChain -> ChainRead -> Seek -> Fetched ... -> Build -> Built -> PutObjects -> ObjectsPut
              -> CreateManifest -> ManifestCreated: won -> Announce; else everything held is discarded -> ReadChain

One cut is under way at a time while the next one gathers. Answers carry the ticket of their request: those to a
request that was given up are ignored. The same machine stages clean events, raw records and verdicts; what differs
is an `Intake` (records to rows) and what the driver builds from a Cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from operator import lt
from typing import Generic, TypeVar

from headrace_core.manifest import ChainEnd, Manifest, content_sum
from headrace_core.paths import manifest_key, object_key
from headrace_loader.stage_messages import (
    Action,
    Announce,
    Answer,
    Build,
    Built,
    ChainIdentity,
    ChainRead,
    ChainUnread,
    Contents,
    CreateManifest,
    Cut,
    CutLimits,
    Event,
    Fetched,
    Intake,
    ManifestCreated,
    ObjectsPut,
    ObjectsUnput,
    Pressure,
    PutObjects,
    ReadChain,
    Seek,
    Tick,
)

__all__ = ["Stager"]

RowT = TypeVar("RowT")

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 10.0


class _Step(Enum):
    """What the cut under way waits for."""

    BUILD = 1
    PUT = 2
    CREATE = 3


@dataclass(slots=True)
class _UnderWay(Generic[RowT]):
    """The cut between Build and ManifestCreated."""

    ticket: int
    cut: Cut[RowT]
    bytes: int
    since_s: float
    step: _Step = _Step.BUILD
    contents: Contents | None = None
    manifest: Manifest | None = None
    failures: int = 0

    def hold(self, contents: Contents) -> None:
        """Hold what was built instead of the rows."""
        self.contents, self.cut = contents, replace(self.cut, rows=[])
        self.bytes = sum(len(data) for _, data in contents.objects)


@dataclass(slots=True)
class _Gathering(Generic[RowT]):
    """The rows behind the last cut."""

    start: int
    end: int
    rows: list[RowT]
    bytes: int = 0
    repeats: int = 0
    first_append_ms: int | None = None
    last_append_ms: int | None = None
    since_s: float | None = None
    """When the first record came, in monotonic seconds; None before."""


class Stager(Generic[RowT]):
    """Stages one partition. `nonce` names objects so that no two writers, or tries, ever write the same key."""

    def __init__(
        self,
        identity: ChainIdentity,
        intake: Intake[RowT],
        *,
        limits: CutLimits,
        writer: str,
        nonce: Callable[[], str],
    ) -> None:
        self.identity = identity
        self._intake = intake
        self._limits = limits
        self._writer = writer
        self._nonce = nonce
        self._tickets = 0
        self._chain_failures = 0
        self._maximum = -1
        self._gathering: _Gathering[RowT] | None = None
        self._under_way: _UnderWay[RowT] | None = None

    # Guards. Tests override them one at a time to see that the invariants need them.

    def is_repeat(self, source_offset: int) -> bool:
        """Whether a row was staged before: its source offset is not above the running maximum (S1)."""
        return source_offset <= self._maximum

    def carried_maximum(self, end: ChainEnd) -> int:
        """The running maximum that a chain's end hands on, through manifests without rows too."""
        return end.max_source_offset

    def creates_if_absent(self) -> bool:
        """Whether manifests are created with If-None-Match."""
        return True

    # What the driver may ask.

    @property
    def position(self) -> int | None:
        """Offset of the next record that is wanted; None while the chain's end is not known."""
        return self._gathering.end if self._gathering else None

    @property
    def held_bytes(self) -> int:
        """Bytes of rows gathered and under way."""
        gathering = self._gathering.bytes if self._gathering else 0
        return gathering + (self._under_way.bytes if self._under_way else 0)

    @property
    def gathered_bytes(self) -> int:
        """Bytes of rows that no cut holds yet."""
        return self._gathering.bytes if self._gathering else 0

    @property
    def busy(self) -> bool:
        """Whether a cut is under way."""
        return self._under_way is not None

    @property
    def wants_records(self) -> bool:
        """Whether to fetch: the end is known and the next cut is not full yet."""
        return self._gathering is not None and not self._is_full(self._gathering)

    def start(self) -> list[Action[RowT]]:
        """The first actions."""
        return [ReadChain()]

    def handle(self, event: Event, *, now_s: float, now_ms: int) -> list[Action[RowT]]:
        """What to do after `event`. `now_s` is monotonic, `now_ms` wall time for the manifest alone."""
        match event:
            case ChainRead(end=end):
                return self._chain_read(end)
            case ChainUnread():
                return self._chain_unread()
            case Fetched():
                self._gather(event, now_s)
                return self._cut_if_due(now_s, now_ms)
            case Tick():
                return self._cut_if_due(now_s, now_ms)
            case Pressure():
                return self._cut(now_s, now_ms)
            case Built() | ObjectsPut() | ObjectsUnput() | ManifestCreated() as answer:
                return self._answered(answer, now_s, now_ms)

    # The chain.

    def _read_again(self) -> list[Action[RowT]]:
        """S2: discard all that is held and learn from the store where the chain ends."""
        self._gathering = self._under_way = None
        return [ReadChain()]

    def _chain_unread(self) -> list[Action[RowT]]:
        if self._gathering is not None:
            return []
        self._chain_failures += 1
        return [ReadChain(_delay_s(self._chain_failures))]

    def _chain_read(self, end: ChainEnd) -> list[Action[RowT]]:
        if self._gathering is not None:
            return []
        self._chain_failures = 0
        self._maximum = self.carried_maximum(end)
        self._gathering = _Gathering(end.end, end.end, [])
        return [Seek(end.end)]

    # Gathering.

    def _gather(self, fetched: Fetched, now_s: float) -> None:
        held = self._gathering
        if held is None or fetched.start != held.end or fetched.next_offset <= held.end:
            return
        if held.since_s is None:
            held.since_s = now_s
        if fetched.records:
            if held.first_append_ms is None:
                held.first_append_ms = fetched.records[0].timestamp
            latest = max([record.timestamp for record in fetched.records])
            held.last_append_ms = max(latest, held.last_append_ms or 0)
        sources, rows = self._intake.rows(fetched.records)
        fresh = self._without_repeats(sources, rows)
        held.repeats += len(rows) - len(fresh)
        held.bytes += self._intake.size_bytes(fresh)
        held.rows += fresh
        held.end = fetched.next_offset

    def _without_repeats(self, sources: list[int], rows: list[RowT]) -> list[RowT]:
        """The rows above the running maximum, which rises with each of them."""
        if not sources:
            return []
        if not self.is_repeat(sources[0]) and all(map(lt, sources, islice(sources, 1, None))):
            self._maximum = max(self._maximum, sources[-1])
            return rows
        fresh: list[RowT] = []
        for source, row in zip(sources, rows, strict=True):
            if not self.is_repeat(source):
                self._maximum = max(self._maximum, source)
                fresh.append(row)
        return fresh

    # Cutting.

    def _is_full(self, held: _Gathering[RowT]) -> bool:
        return held.bytes >= self._limits.max_bytes or len(held.rows) >= self._limits.max_rows

    def _cut_if_due(self, now_s: float, now_ms: int) -> list[Action[RowT]]:
        held = self._gathering
        if held is None or held.since_s is None:
            return []
        old = now_s - held.since_s >= self._limits.max_age_s
        return self._cut(now_s, now_ms) if old or self._is_full(held) else []

    def _cut(self, now_s: float, now_ms: int) -> list[Action[RowT]]:
        held = self._gathering
        if held is None or held.end == held.start or self._under_way is not None:
            return []
        self._tickets += 1
        cut = self._cut_of(held)
        self._under_way = _UnderWay(self._tickets, cut, held.bytes, now_s)
        self._gathering = _Gathering(held.end, held.end, [])
        # Without rows there is nothing to build: the manifest carries the chain and its running maximum on.
        return [Build(self._tickets, cut)] if cut.rows else self._create(self._under_way, now_ms)

    def _cut_of(self, held: _Gathering[RowT]) -> Cut[RowT]:
        kind, partition = self.identity.kind, self.identity.partition
        appended_ms = held.first_append_ms or 0
        return Cut(
            identity=self.identity,
            start=held.start,
            end=held.end,
            max_source_offset=self._maximum,
            rows=held.rows,
            repeats=held.repeats,
            first_append_ms=held.first_append_ms,
            last_append_ms=held.last_append_ms,
            key=object_key(
                kind, partition, held.start, held.end, appended_ms=appended_ms, nonce=self._nonce()
            ),
        )

    # The cut under way.

    def _answered(self, answer: Answer, now_s: float, now_ms: int) -> list[Action[RowT]]:
        under_way = self._under_way
        if under_way is None or under_way.ticket != answer.ticket:
            return []
        match answer, under_way.step:
            case Built(contents=contents), _Step.BUILD:
                under_way.hold(contents)
                return self._put(under_way)
            case ObjectsUnput(), _Step.PUT:
                under_way.failures += 1
                return self._put(under_way)
            case ObjectsPut(), _Step.PUT:
                return self._create(under_way, now_ms)
            case ManifestCreated(outcome=outcome), _Step.CREATE:
                return self._won(under_way, now_s, now_ms) if outcome == "won" else self._read_again()
            case _:
                return []

    def _put(self, under_way: _UnderWay[RowT]) -> list[Action[RowT]]:
        """Nothing is given up when objects cannot be stored: they are tried again for as long as it takes."""
        assert under_way.contents is not None
        under_way.step = _Step.PUT
        return [PutObjects(under_way.ticket, under_way.contents.objects, _delay_s(under_way.failures))]

    def _create(self, under_way: _UnderWay[RowT], now_ms: int) -> list[Action[RowT]]:
        under_way.step = _Step.CREATE
        manifest = self._manifest(under_way.cut, under_way.contents, now_ms)
        under_way.manifest = manifest
        key = manifest_key(self.identity.kind, self.identity.partition, manifest.start)
        return [CreateManifest(under_way.ticket, key, manifest, if_absent=self.creates_if_absent())]

    def _won(self, under_way: _UnderWay[RowT], now_s: float, now_ms: int) -> list[Action[RowT]]:
        assert under_way.manifest is not None
        self._under_way = None
        told = Announce(under_way.manifest, under_way.cut.repeats, now_s - under_way.since_s)
        return [told, *self._cut_if_due(now_s, now_ms)]

    def _manifest(self, cut: Cut[RowT], contents: Contents | None, now_ms: int) -> Manifest:
        identity = cut.identity
        return Manifest(
            kind=identity.kind,
            cluster_id=identity.cluster_id,
            topic_id=identity.topic_id,
            topic=identity.topic,
            partition=identity.partition,
            start=cut.start,
            end=cut.end,
            max_source_offset=cut.max_source_offset,
            rows=contents.file.rows if contents else 0,
            files=(contents.file,) if contents else (),
            rows_by_event_date=contents.rows_by_event_date if contents else {},
            min_received_ts=contents.min_received_ts if contents else None,
            max_received_ts=contents.max_received_ts if contents else None,
            first_append_ms=cut.first_append_ms,
            last_append_ms=cut.last_append_ms,
            schema_version=contents.schema_version if contents else self._intake.schema_version,
            content=contents.content if contents else content_sum(()),
            writer=self._writer,
            created_ms=now_ms,
        )


def _delay_s(failures: int) -> float:
    """Nothing before the first failure, then doubled up to the longest wait."""
    return float(min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (failures - 1))) if failures else 0.0
