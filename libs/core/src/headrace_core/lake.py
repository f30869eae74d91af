"""The lake's contract: plans, generations and pointers (rules B1 and B2). Who reads a day reads pointer, generation, files.

A day has one pointer. It names the result of one plan, a generation, which lists the files of every table of the day:
they change together. Plans and generations are never rewritten; a pointer is swapped with If-Match (rule B2).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headrace_core.errors import BadData
from headrace_core.events import RULES_VERSION, SCHEMA_VERSION
from headrace_core.manifest import File, Manifest

__all__ = [
    "DayInput",
    "Generation",
    "LakeFile",
    "LakeTable",
    "Plan",
    "PlanId",
    "Pointer",
    "SeenPointer",
    "StagedFile",
    "Versions",
    "decode_generation",
    "decode_plan",
    "decode_pointer",
    "encode_lake",
    "staged_files",
]

LakeTable = Literal[
    "events",
    "sessions",
    "user_day",
    "events_minute",
    "events_hour",
    "events_day",
    "funnels",
    "cohorts",
    "finance_daily",
]
"""What a generation holds: the events, and the day's aggregates."""


class PlanId(msgspec.Struct, frozen=True, kw_only=True):
    """Which plan: a run, its attempt, and the number of the plan in the attempt, both counted from 1."""

    run: str
    attempt: int
    plan: int

    @property
    def generation(self) -> str:
        """The name of what the plan makes, as keys carry it."""
        return f"{self.run}.{self.attempt}.{self.plan}"


class StagedFile(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A staged object as a plan reads it. ``chain_start`` is the start of its manifest; times in UTC us."""

    key: str
    rows: int
    bytes: int
    sha256: str
    partition: int
    chain_start: int
    min_event_ts: int | None = None
    max_event_ts: int | None = None


class LakeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a generation."""

    key: str
    rows: int
    bytes: int
    sha256: str


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows were made with."""

    schema_version: int = SCHEMA_VERSION
    rules_version: int = RULES_VERSION


class SeenPointer(msgspec.Struct, frozen=True, kw_only=True):
    """The pointer as a plan found it: the swap succeeds only while it is still this one."""

    etag: str
    sequence: int
    result: str


class DayInput(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a plan reads of one day: its generation, and the staged files that the generation does not contain."""

    event_date: str
    pointer: SeenPointer | None = None
    read: tuple[StagedFile, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the staged files to read, of all their days."""
        return sum(file.rows for file in self.read)


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The frozen input of one generation (rule B1). ``neighbours`` are the days whose rows decide about this one's: two
    before and two after; ``seen`` is how these look, which a later plan compares. ``earlier`` names the generations in which
    users of the day may have been seen first. ``chain_ends`` says per partition up to
    where the chain was read; ``edges`` is the object that holds the identity edges, read up to the offset ``edges_offset``;
    past ``ends_by_ms`` the plan swaps nothing. ``revises``: rows that the day holds already change (reprocess, erase).
    """

    version: Literal[1] = 1
    id: PlanId
    job: str
    day: DayInput
    neighbours: tuple[DayInput, ...] = ()
    seen: dict[str, str] = {}
    earlier: dict[str, str] = {}
    chain_ends: dict[str, int] = {}
    edges: str | None = None
    edges_offset: int = 0
    versions: Versions = Versions()
    dedup: Literal["broadcast", "hash"] = "broadcast"
    revises: bool = False
    made_ms: int
    ends_by_ms: int


class Generation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The result of a plan. ``contains`` are the keys of all staged files whose rows are in it, those of the generations
    before it too; ``seen`` gives, per neighbouring day, the digest of the input that the sessions were computed from.
    ``revision`` names the last generation that changed rows which were in already (reprocess, erase); none did where empty.
    """

    version: Literal[1] = 1
    id: PlanId
    job: str
    event_date: str
    previous: str | None = None
    contains: tuple[str, ...] = ()
    seen: dict[str, str] = {}
    tables: dict[LakeTable, tuple[LakeFile, ...]] = {}
    counts: dict[str, int] = {}
    edges_offset: int = 0
    revision: str = ""
    versions: Versions = Versions()
    made_ms: int

    def files(self, table: LakeTable) -> tuple[LakeFile, ...]:
        """The files of a table; none where the day has none of it."""
        return self.tables.get(table, ())


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which generation of a day is current. The sequence rises by one with every swap."""

    version: Literal[1] = 1
    event_date: str
    sequence: int
    result: str
    swapped_ms: int


encode_lake = msgspec.json.Encoder(order="deterministic").encode
"""A plan, generation or pointer as JSON."""

_decode_plan = msgspec.json.Decoder(Plan).decode
_decode_generation = msgspec.json.Decoder(Generation).decode
_decode_pointer = msgspec.json.Decoder(Pointer).decode


def decode_plan(data: bytes) -> Plan:
    """Bytes of a plan object; BadData where they are none."""
    try:
        return _decode_plan(data)
    except msgspec.MsgspecError as error:
        raise _unreadable("plan", error) from error


def decode_generation(data: bytes) -> Generation:
    """Bytes of a result object; BadData where they are none."""
    try:
        return _decode_generation(data)
    except msgspec.MsgspecError as error:
        raise _unreadable("generation", error) from error


def decode_pointer(data: bytes) -> Pointer:
    """Bytes of a pointer object; BadData where they are none."""
    try:
        return _decode_pointer(data)
    except msgspec.MsgspecError as error:
        raise _unreadable("pointer", error) from error


def _unreadable(what: str, error: msgspec.MsgspecError) -> BadData:
    return BadData(
        f"A {what} of the lake cannot be read.",
        why=str(error),
        fix="Restore the object from its bucket version; the day stays as it is until it is readable.",
        code=f"{what}_unreadable",
    )


def staged_files(manifest: Manifest) -> list[StagedFile]:
    """The files that a manifest of the events chain makes readable."""
    return [_staged(file, manifest) for file in manifest.files]


def _staged(file: File, manifest: Manifest) -> StagedFile:
    return StagedFile(
        key=file.key,
        rows=file.rows,
        bytes=file.bytes,
        sha256=file.sha256,
        partition=manifest.partition,
        chain_start=manifest.start,
        min_event_ts=file.min_event_ts,
        max_event_ts=file.max_event_ts,
    )
