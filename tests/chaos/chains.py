"""The manifest chains as a reader sees them, with the invariants that hold of them at every moment."""

from __future__ import annotations

import hashlib

from tests.chaos.oracle import Oracle, Violations
from tests.chaos.store import SimulatedStore

from headrace_core.manifest import Manifest, decode_manifest
from headrace_core.paths import ChainKind, parse_manifest_key

__all__ = ["Chains"]


class Chains:
    """All manifests, by kind and partition, in the order of their starts."""

    def __init__(self, store: SimulatedStore, oracle: Oracle, violations: Violations) -> None:
        self._store, self._oracle, self._bad = store, oracle, violations
        self._seen = 0
        self._chains: dict[tuple[ChainKind, int], list[Manifest]] = {}
        self.sources: dict[str, list[int]] = {}
        """By key of a staged object the source offsets of the rows that it was built from."""
        self.staged: list[set[int]] = [set() for _ in oracle.partitions]
        """By partition the source offsets in the files of the events chain."""
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
        if manifest.kind == "events":
            self._check_rows(manifest)

    def _check_rows(self, manifest: Manifest) -> None:
        """Each source offset once, accepted, and none below the running maximum left out: true of every prefix."""
        oracle, staged = self._oracle.partitions[manifest.partition], self.staged[manifest.partition]
        for file in manifest.files:
            for offset in self.sources[file.key]:
                if offset in staged:
                    self._bad.add("I2 chain", f"source offset {manifest.partition}/{offset} is staged twice")
                if offset not in oracle.accepted_ids:
                    self._bad.add(
                        "I3 chain", f"source offset {manifest.partition}/{offset} is staged, not accepted"
                    )
                staged.add(offset)
        left_out = [o for o in oracle.accepted_ids if o <= manifest.max_source_offset and o not in staged]
        if left_out:
            self._bad.add(
                "I1 chain", f"the chain of {manifest.partition} is past {left_out[:5]}, accepted, not staged"
            )

    def check_files(self, manifest: Manifest, key: str) -> None:
        """I7: every file that a manifest names is there, with its digest."""
        for file in manifest.files:
            data = self._store.objects.get(file.key)
            if data is None:
                self._bad.add("I7 missing", f"{key} names {file.key}, which is not there")
            elif hashlib.sha256(data).hexdigest() != file.sha256:
                self._bad.add("I7 digest", f"{file.key} is not what {key} says")

    def at_rest(self) -> None:
        """All files of all manifests once more: nothing may have collected one."""
        self.observe()
        for chain in self._chains.values():
            for manifest in chain:
                self.check_files(manifest, f"{manifest.kind} {manifest.partition} {manifest.start}")
