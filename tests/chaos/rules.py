"""The rules that the simulated dedup processes deploy, and the table of seen ids that they remember in."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.traffic import clean_event, read_event

from headrace_core.decide import ABSENT, entry_offset
from headrace_core.events import SCHEMA_VERSION, encode_clean
from headrace_core.identity import edges_of
from headrace_core.keys import FINGERPRINT_VERSION
from headrace_dedup.messages import Prepared, RawRecord

__all__ = ["DictTable", "SimulatedRules"]


class SimulatedRules:
    """One deployed version of the rules over the simulated dialect."""

    schema_version = SCHEMA_VERSION

    def __init__(self, rules_version: int, fingerprint_version: int = FINGERPRINT_VERSION) -> None:
        self.rules_version, self.fingerprint_version = rules_version, fingerprint_version

    def prepare(self, partition: int, records: Sequence[RawRecord]) -> Prepared:
        """See `headrace_dedup.ports.Rules`."""
        columns = Prepared()
        for position, record in enumerate(records):
            assert record.value is not None
            identity, fingerprint, reason = read_event(record.value, self.rules_version)
            columns.ids.append(identity)
            columns.sizes.append(len(record.value))
            columns.fingerprints.append(fingerprint ^ (self.fingerprint_version - 1))
            columns.reasons.append(reason.number)
            good = reason.number == 0
            if not good:
                columns.details[position] = "the simulated dialect refuses it"
                columns.values.append(None)
                continue
            clean = clean_event(record.value, self.rules_version, partition, record.offset)
            columns.values.append(encode_clean(clean))
            if edges := edges_of(clean):
                columns.edges[position] = edges
        return columns


class DictTable:
    """The table as a dictionary. `eager`: released entries go at once; else they stay for good. Both are allowed."""

    def __init__(self, *, eager: bool) -> None:
        self._eager = eager
        self.entries: dict[bytes, int] = {}

    def get_many(self, ids: Sequence[bytes]) -> list[int]:
        """See `headrace_core.decide.SeenTable`."""
        return [self.entries.get(identity, ABSENT) for identity in ids]

    def set_many(self, ids: Sequence[bytes], entries: Sequence[int]) -> None:
        """See `headrace_core.decide.SeenTable`."""
        self.entries.update(zip(ids, entries, strict=True))

    def set_column(self, ids: bytes, entries: Sequence[int]) -> None:
        """See `headrace_dedup.ports.Table`."""
        self.set_many([ids[at : at + 16] for at in range(0, len(ids), 16)], entries)

    def release_below(self, horizon_offset: int) -> None:
        """See `headrace_dedup.ports.Table`."""
        if self._eager:
            kept = {k: value for k, value in self.entries.items() if entry_offset(value) >= horizon_offset}
            self.entries = kept

    def room(self) -> int:
        """See `headrace_dedup.ports.Table`."""
        return 1 << 30

    def __len__(self) -> int:
        return len(self.entries)
