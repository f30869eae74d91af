"""The golden corpus: inputs in tests/data/golden/corpus.json, results beside it, one digest per rules version.

``python -m tests.support.golden`` writes the results. It refuses to give a version that has a digest another one: a changed
result needs a raised RULES_VERSION (or FINGERPRINT_VERSION), and old versions' digests stay as a record.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from headrace_core.dialects import Mappings, compile_mapping, parse
from headrace_core.events import RULES_VERSION, encode_clean
from headrace_core.identify import identify
from headrace_core.keys import FINGERPRINT_VERSION, dedup_id, partition_of
from headrace_core.mapping import mapping_from, mapping_key
from headrace_core.meta import RequestMeta, RerunReference
from headrace_core.normalise import normalise
from headrace_core.parsed import Rejected

__all__ = ["Case", "Corpus", "Digests", "digests", "identities", "load", "mappings_of", "recorded", "results"]

FOLDER = Path(__file__).parents[1] / "data" / "golden"


class Case(msgspec.Struct, kw_only=True):
    """One record: its bytes as text, its request, its index and what it repeats."""

    name: str
    meta: RequestMeta
    event: str
    index: int = 0
    rerun: RerunReference | None = None


class Corpus(msgspec.Struct):
    """The inputs."""

    mappings: list[dict[str, Any]]
    cases: list[Case]
    identities: list[tuple[str, str]]


class Digests(msgspec.Struct, frozen=True):
    """SHA-256 over all rows, and over all identities, of the corpus and the generated events."""

    rows: str
    identities: str


def load() -> Corpus:
    """The corpus."""
    return msgspec.json.decode((FOLDER / "corpus.json").read_bytes(), type=Corpus)


def mappings_of(corpus: Corpus) -> Mappings:
    """The corpus' own mappings, compiled."""
    specs = [mapping_from(document) for document in corpus.mappings]
    return {mapping_key(spec): compile_mapping(spec) for spec in specs}


def results(corpus: Corpus) -> dict[str, Any]:
    """What becomes of each case: identity and row, or the reason."""
    mappings = mappings_of(corpus)
    return {case.name: _result(case, mappings) for case in corpus.cases}


def _result(case: Case, mappings: Mappings) -> dict[str, Any]:
    try:
        parsed = parse(case.event.encode(), case.meta, mappings)
        identity = identify(parsed, case.meta, case.index, case.rerun)
        found = {"fingerprint": f"{identity.fingerprint:016x}", "content": parsed.content.hex()}
    except Rejected as error:
        return {"reason": error.reason.code}
    try:
        row = normalise(parsed, identity, case.meta, case.rerun, src_partition=1, src_offset=2)
    except Rejected as error:
        return {**found, "reason": error.reason.code}
    return {**found, "row": msgspec.Raw(encode_clean(row))}


def identities(corpus: Corpus) -> list[dict[str, Any]]:
    """Dedup ids and partitions of (source, event id)."""
    return [
        {
            "source": source,
            "event_id": event_id,
            "dedup_id": identity.hex(),
            "partition_of_12": partition_of(identity, 12),
            "partition_of_48": partition_of(identity, 48),
        }
        for source, event_id in corpus.identities
        for identity in [dedup_id(source, event_id)]
    ]


_GENERATED = 2_000


def _generated(corpus: Corpus) -> list[Case]:
    """Cases recombined from the corpus: fields of one event set into another. Only ``random()`` is used, whose sequence every
    Python version shares."""
    draw = Random(20_260_921)
    whole = [(case, fields) for case in corpus.cases if (fields := _fields(case.event))]
    cases = []
    for number in range(_GENERATED):
        case, fields = whole[int(draw.random() * len(whole))]
        _, others = whole[int(draw.random() * len(whole))]
        mixed = {**fields, **{name: raw for name, raw in others.items() if draw.random() < 0.4}}
        cases.append(
            Case(
                name=f"{number}", meta=case.meta, event=msgspec.json.encode(mixed).decode(), index=number % 5
            )
        )
    return cases


def _fields(event: str) -> dict[str, msgspec.Raw] | None:
    try:
        return msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return None


def digests() -> Digests:
    """The digests of this code."""
    corpus = load()
    corpus.cases += _generated(corpus)
    mappings = mappings_of(corpus)
    rows, known = hashlib.sha256(), hashlib.sha256(msgspec.json.encode(identities(corpus)))
    for case in corpus.cases:
        found = _result(case, mappings)
        rows.update(msgspec.json.encode([case.name, found.get("row"), found.get("reason")]))
        known.update(msgspec.json.encode([case.name, found.get("content"), found.get("fingerprint")]))
    return Digests(rows.hexdigest(), known.hexdigest())


def recorded() -> dict[str, Digests]:
    """Digests by ``<rules version>.<fingerprint version>``, as they were written."""
    path = FOLDER / "digests.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Digests]) if path.exists() else {}


def main() -> None:
    """Write the results of this version."""
    version, known, now = f"{RULES_VERSION}.{FINGERPRINT_VERSION}", recorded(), digests()
    if known.get(version, now) != now and "--unreleased" not in sys.argv:
        sys.exit(
            "Results changed: raise RULES_VERSION, or FINGERPRINT_VERSION if identities did, then run this again."
        )
    corpus = load()
    written = {"identities": identities(corpus), "results": results(corpus)}
    _write("results.json", written)
    _write("digests.json", {**known, version: now})


def _write(name: str, document: object) -> None:
    text = msgspec.json.format(msgspec.json.encode(document), indent=1)
    (FOLDER / name).write_bytes(text + b"\n")


if __name__ == "__main__":
    main()
