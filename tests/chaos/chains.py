"""The manifest chains as a reader sees them, with the invariants that hold of them at every moment."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import msgspec
from tests.chaos.oracle import Oracle, Violations
from tests.chaos.store import SimulatedStore

from headrace_core.events import decode_clean
from headrace_core.manifest import Manifest, decode_manifest
from headrace_core.paths import ChainKind, parse_manifest_key
from headrace_loader.stage_messages import Cut

__all__ = ["Chains"]


class Chains:
    """All manifests, by kind and partition, in the order of their starts."""

    def __init__(self, store: SimulatedStore, oracle: Oracle, violations: Violations) -> None:
        self._store, self._oracle, self._bad = store, oracle, violations
        self._seen = 0
        self._chains: dict[tuple[ChainKind, int], list[Manifest]] = {}
        self._sources: dict[str, list[int]] = {}
        """By key of a staged object the source offsets of the rows that it was built from."""
        self._staged: dict[tuple[ChainKind, int], set[int]] = {}
        """By chain the source offsets in its files."""
        self._starts: set[tuple[ChainKind, int, int]] = set()

    def of(self, kind: ChainKind, partition: int) -> list[Manifest]:
        """The manifests of one chain."""
        return self._chains.get((kind, partition), [])

    def events(self, partition: int) -> list[Manifest]:
        """The manifests that make staged events readable."""
        return self.of("events", partition)

    def observe(self) -> None:
        """Take in the manifests written since the last call."""
        writes = self._store.writes
        while self._seen < len(writes):
            key = writes[self._seen]
            self._seen += 1
            position = parse_manifest_key(key)
            if position is not None:
                self._on_manifest(decode_manifest(self._store.objects[key]), key)

    def _on_manifest(self, manifest: Manifest, key: str) -> None:
        chain = self._chains.setdefault((manifest.kind, manifest.partition), [])
        place = (manifest.kind, manifest.partition, manifest.start)
        if place in self._starts:
            self._bad.add("I6 rewritten", f"{key} was written twice")
            return
        self._starts.add(place)
        end = chain[-1].end if chain else 0
        if manifest.start != end or manifest.end <= manifest.start:
            self._bad.add(
                "I6 chain", f"{key} covers [{manifest.start},{manifest.end}), the chain ends at {end}"
            )
        chain.append(manifest)
        self.check_files(manifest, key)
        self._check_rows(manifest)

    def built(self, cut: Cut[Any]) -> None:
        """Remember which rows an object was built from, and check what the archives say in them."""
        kind, oracle = cut.identity.kind, self._oracle.partitions[cut.identity.partition]
        match kind:
            case "events":
                sources = [decode_clean(value).src_offset for value, _ in cut.rows]
            case "raw":
                lines = [msgspec.json.decode(line) for line in cut.rows]
                sources = [line["o"] for line in lines]
                if any(line["e"].encode() != oracle.raw[line["o"]].value for line in lines):
                    self._bad.add("I4 archive", f"{cut.key} holds other bytes than events.raw")
            case "verdicts":
                sources = [row.offset for row in cut.rows]
                if any(oracle.verdicts[row.offset][0] != row.verdict for row in cut.rows):
                    self._bad.add("I4 archive", f"{cut.key} holds other verdicts than the blocks")
        self._sources[cut.key] = sources

    def _known(self, kind: ChainKind, partition: int) -> Collection[int]:
        """The source offsets that a chain must hold in the end."""
        oracle = self._oracle.partitions[partition]
        match kind:
            case "events":
                return oracle.accepted_ids.keys()
            case "raw":
                return oracle.raw.keys()
            case "verdicts":
                return oracle.verdicts.keys()

    def _check_rows(self, manifest: Manifest) -> None:
        """Each source offset once, a known one, and none below the running maximum left out: true of every prefix."""
        kind, partition = manifest.kind, manifest.partition
        known, staged = self._known(kind, partition), self._staged.setdefault((kind, partition), set())
        for file in manifest.files:
            for offset in self._sources[file.key]:
                if offset in staged:
                    self._bad.add("I2 chain", f"source offset {partition}/{offset} is twice in {kind}")
                if offset not in known:
                    self._bad.add("I3 chain", f"source offset {partition}/{offset} is in {kind}, unknown")
                staged.add(offset)
        left_out = [o for o in known if o <= manifest.max_source_offset and o not in staged]
        if left_out:
            self._bad.add("I1 chain", f"chain {kind} of {partition} is past {left_out[:5]} without them")

    def check_files(self, manifest: Manifest, key: str) -> None:
        """I7: every file that a manifest names is there, with its digest."""
        for file in manifest.files:
            data = self._store.objects.get(file.key)
            if data is None:
                self._bad.add("I7 missing", f"{key} names {file.key}, which is not there")
            elif hashlib.sha256(data).hexdigest() != file.sha256:
                self._bad.add("I7 digest", f"{file.key} is not what {key} says")

    def at_rest(self, kinds: Collection[ChainKind]) -> None:
        """After healing: the chains hold all that they must, and nothing collected a file that a manifest names."""
        self.observe()
        for (kind, partition), chain in self._chains.items():
            for manifest in chain:
                self.check_files(manifest, f"{kind} {partition} {manifest.start}")
        for kind in kinds:
            for partition in range(len(self._oracle.partitions)):
                missing = set(self._known(kind, partition)) - self._staged.get((kind, partition), set())
                if missing:
                    self._bad.add("I1 chain", f"{kind} of {partition} lacks {sorted(missing)[:5]}")
