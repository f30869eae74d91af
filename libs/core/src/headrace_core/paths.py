"""Keys in the object store. Nothing else builds or takes apart a key.

``date=``/``hour=`` of raw and staged objects are a layout hint: the UTC append hour of the first record of the object's
manifest. Readers select by manifests and pointers and never list a data prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

__all__ = [
    "ChainKind",
    "ChainPosition",
    "LakePlace",
    "RunPlace",
    "archive_key",
    "base_key",
    "chain_prefix",
    "data_prefix",
    "edges_key",
    "erasure_key",
    "export_prefix",
    "exports_prefix",
    "generation_key",
    "lake_prefix",
    "lake_root",
    "manifest_key",
    "object_key",
    "overflow_key",
    "parse_lake_key",
    "parse_manifest_key",
    "parse_object_key",
    "parse_pointer_key",
    "parse_run_key",
    "parse_verdicts_by_id_key",
    "plan_key",
    "plan_prefix",
    "pointer_key",
    "pointers_prefix",
    "report_key",
    "run_prefix",
    "run_report_key",
    "run_result_key",
    "runs_prefix",
    "sync_key",
    "verdict_index_key",
    "verdicts_by_id_prefix",
    "verdicts_by_id_root",
]

ChainKind = Literal["events", "raw", "verdicts"]

_DATA_PREFIX: dict[ChainKind, str] = {"events": "staged/events", "raw": "raw", "verdicts": "verdicts"}
_SUFFIX: dict[ChainKind, str] = {"events": "parquet", "raw": "jsonl.zst", "verdicts": "parquet"}


@dataclass(frozen=True, slots=True)
class ChainPosition:
    """Start of a manifest in the chain of a partition."""

    kind: ChainKind
    partition: int
    start: int


@dataclass(frozen=True, slots=True)
class LakePlace:
    """Where an object of the lake belongs: its table, its day (YYYY-MM-DD), its generation and, of events, its hour (0 to 23)."""

    table: str
    event_date: str
    generation: str
    hour: int | None = None


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where an object of a run belongs: ``plan`` is None for what is of the whole attempt; ``name`` may hold folders."""

    run: str
    attempt: int
    plan: int | None
    name: str


def chain_prefix(kind: ChainKind, partition: int) -> str:
    """Prefix under which the manifests of a partition sort by start offset."""
    return f"manifests/{kind}/p={partition:02d}/"


def manifest_key(kind: ChainKind, partition: int, start: int) -> str:
    """Key of the manifest that starts at ``start``; created with If-None-Match and never rewritten."""
    return f"{chain_prefix(kind, partition)}{start:020d}.json"


def base_key(kind: ChainKind, partition: int) -> str:
    """Key of the object that lets manifests below its start be dropped (start, running maximum)."""
    return f"{chain_prefix(kind, partition)}base.json"


def parse_manifest_key(key: str) -> ChainPosition | None:
    """The position that a manifest key stands for; None where the key is no manifest's."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] != "manifests" or parts[1] not in _DATA_PREFIX:
        return None
    name, _, suffix = parts[3].partition(".")
    if suffix != "json" or len(name) != 20 or not name.isdigit() or not parts[2].startswith("p="):
        return None
    return ChainPosition(parts[1], int(parts[2][2:]), int(name))


def object_key(kind: ChainKind, partition: int, start: int, end: int, *, appended_ms: int, nonce: str) -> str:
    """Key of a data object. It carries the start of its manifest, so that an orphan can be told from a live object."""
    name = f"p={partition:02d}/{start:020d}-{end:020d}-{nonce}.{_SUFFIX[kind]}"
    if kind == "verdicts":
        return f"{_DATA_PREFIX[kind]}/{name}"
    hour = datetime.fromtimestamp(appended_ms / 1000, UTC)
    return f"{_DATA_PREFIX[kind]}/date={hour:%Y-%m-%d}/hour={hour:%H}/{name}"


def data_prefix(kind: ChainKind) -> str:
    """Prefix of all data objects of a chain's kind. Only retention lists it."""
    return f"{_DATA_PREFIX[kind]}/"


def parse_object_key(key: str) -> ChainPosition | None:
    """The chain position whose manifest may name this data object; None where the key is no data object's."""
    for kind, prefix in _DATA_PREFIX.items():
        if not key.startswith(prefix + "/"):
            continue
        *_, partition, name = key.split("/")
        start = name.split("-", 1)[0]
        if partition.startswith("p=") and start.isdigit():
            return ChainPosition(kind, int(partition[2:]), int(start))
    return None


def overflow_key(sha256_hex: str) -> str:
    """Key of a value that is too long for a column."""
    return f"overflow/{sha256_hex}"


def pointers_prefix() -> str:
    """Prefix of all pointers: the one place where days are listed."""
    return "pointers/"


def pointer_key(event_date: str) -> str:
    """Key of a day's pointer."""
    return f"{pointers_prefix()}date={event_date}.json"


def parse_pointer_key(key: str) -> str | None:
    """The date (YYYY-MM-DD) of a pointer's key; None where the key is no pointer's."""
    name = key.removeprefix(pointers_prefix())
    if name == key or not name.startswith("date=") or not name.endswith(".json"):
        return None
    return name[len("date=") : -len(".json")]


def verdicts_by_id_root() -> str:
    """Prefix of all verdicts sorted by dedup id. Only retention lists it."""
    return "verdicts-by-id/"


def verdict_index_key(date: str) -> str:
    """Key of the index of a day's verdicts by dedup id."""
    return f"{verdicts_by_id_root()}date={date}/index.json"


def verdicts_by_id_prefix(date: str, generation: str) -> str:
    """Prefix of a day's verdicts as one plan wrote them; ``p=NN/`` stands below it."""
    return f"{verdicts_by_id_root()}date={date}/gen={generation}/"


def parse_verdicts_by_id_key(key: str) -> str | None:
    """The date (YYYY-MM-DD) of an object of verdicts by dedup id; None where the key is none's."""
    folders = key.split("/")
    if len(folders) < 3 or f"{folders[0]}/" != verdicts_by_id_root() or not folders[1].startswith("date="):
        return None
    return folders[1][len("date=") :]


def archive_key(event_date: str) -> str:
    """Key of the record that a day's generation was verified for the archive."""
    return f"archive/date={event_date}.json"


def runs_prefix() -> str:
    """Prefix of what all runs leave behind."""
    return "runs/"


def run_prefix(run: str, attempt: int) -> str:
    """Prefix of what an attempt of a run leaves behind."""
    return f"runs/{run}/attempt={attempt}/"


def parse_run_key(key: str) -> RunPlace | None:
    """The place of an object of a run; None where the key is none's."""
    parts = key.split("/")
    if parts[0] != "runs" or len(parts) < 4:
        return None
    attempt, plan, name = _number(parts[2], "attempt="), None, parts[3:]
    if len(name) > 1 and (plan := _number(name[0], "plan=")) is not None:
        name = name[1:]
    return None if attempt is None else RunPlace(parts[1], attempt, plan, "/".join(name))


def _number(folder: str, before: str) -> int | None:
    digits = folder.removeprefix(before)
    return int(digits) if folder.startswith(before) and digits.isdecimal() else None


def run_report_key(run: str, attempt: int, name: str) -> str:
    """Key of a report about a whole attempt."""
    return f"{run_prefix(run, attempt)}reports/{name}"


def run_result_key(run: str, attempt: int) -> str:
    """Key of an attempt's result."""
    return f"{run_prefix(run, attempt)}result.json"


def plan_prefix(run: str, attempt: int, plan: int) -> str:
    """Prefix of a plan, its input and its reports."""
    return f"{run_prefix(run, attempt)}plan={plan}/"


def plan_key(run: str, attempt: int, plan: int) -> str:
    """Key of a plan."""
    return f"{plan_prefix(run, attempt, plan)}plan.json"


def generation_key(run: str, attempt: int, plan: int) -> str:
    """Key of a plan's result: the generation that a pointer names."""
    return f"{plan_prefix(run, attempt, plan)}result.json"


def edges_key(run: str, attempt: int, plan: int) -> str:
    """Key of the identity edges that a plan resolves with."""
    return f"{plan_prefix(run, attempt, plan)}edges.jsonl.zst"


def report_key(run: str, attempt: int, plan: int, name: str) -> str:
    """Key of a report beside a plan, such as a page of Data Docs."""
    return f"{plan_prefix(run, attempt, plan)}reports/{name}"


def exports_prefix() -> str:
    """Prefix of all extracts."""
    return "exports/"


def export_prefix(table: str, run: str, attempt: int) -> str:
    """Prefix of an extract: the files, and ``index.json``, which lists them."""
    return f"{exports_prefix()}{table}/run={run}/attempt={attempt}/"


def erasure_key(request: str) -> str:
    """Key of the evidence of an erasure request."""
    return f"erasure/{request}.json"


def lake_root() -> str:
    """Prefix of all files of all generations. Only retention lists it."""
    return "lake/"


def lake_prefix(table: str, event_date: str, generation: str) -> str:
    """Prefix of the files of a table in a generation; events add ``hour=HH/`` below it.

    Events stand under ``lake/events/date=…/gen=…/hour=…``: date and hour are columns of the path, and a generation is one
    folder, so that a job writes and a person finds a generation in one place.
    """
    folder = "lake/events" if table == "events" else f"lake/aggregates/{table}"
    return f"{folder}/date={event_date}/gen={generation}/"


def sync_key(source: str) -> str:
    """Key of what `headrace identity sync` remembers of a source."""
    return f"identity/sync/{source}.json"


def parse_lake_key(key: str) -> LakePlace | None:
    """The place of an object of the lake; None where the key is none's."""
    folders = key.split("/")
    if folders[:2] == ["lake", "events"]:
        table, rest = "events", folders[2:]
    elif folders[:2] == ["lake", "aggregates"] and len(folders) > 3:
        table, rest = folders[2], folders[3:]
    else:
        return None
    if len(rest) < 3 or not rest[0].startswith("date=") or not rest[1].startswith("gen="):
        return None
    return LakePlace(table, rest[0][len("date=") :], rest[1][len("gen=") :], _number(rest[2], "hour="))
