"""What must be true of the warehouse: checked after every commit, and at rest against logs and chains."""

from __future__ import annotations

from collections import Counter

from tests.chaos.chains import Chains
from tests.chaos.oracle import Oracle, Violations
from tests.chaos.traffic import decode_event, identity_of
from tests.chaos.warehouse import SimulatedWarehouse

from headrace_core.block import Verdict
from headrace_core.keys import file_id
from headrace_core.manifest import Manifest
from headrace_loader.memory_warehouse import Row
from headrace_loader.rollups import Rollups

__all__ = ["WarehouseOracle"]


class WarehouseOracle:
    """Rows, ledger and rollups of the simulated warehouse."""

    def __init__(
        self,
        warehouse: SimulatedWarehouse,
        oracle: Oracle,
        chains: Chains,
        violations: Violations,
        *,
        with_jobs: bool = False,
        moving: bool = False,
    ) -> None:
        self._warehouse, self._oracle, self._chains, self._bad = warehouse, oracle, chains, violations
        self._commits = 0
        self._with_jobs, self._moving = with_jobs, moving

    def observe(self) -> None:
        """After each commit: identities once, new rows true, ledger and rollups in step with the rows."""
        warehouse = self._warehouse
        if warehouse.commits == self._commits:
            return
        self._commits = warehouse.commits
        if not self._moving:
            self._check_identities()
        at = Counter(row.copy.position for row in warehouse.rows) if self._moving else Counter()
        for row, suppressed in warehouse.inserted:
            self._check_row(row)
            if at[row.copy.position] > 1:
                self._bad.add("I2 moved", f"{row.copy} was loaded beside the row that a reprocess moved")
            if not suppressed.isdisjoint(row.subjects):
                self._bad.add("S1 suppressed", f"a row of a suppressed subject was inserted: {row.copy}")
        warehouse.inserted.clear()
        self._check_ledger()
        self._check_rollups()

    def _check_identities(self) -> None:
        """Event dates of an identity lie within a day of each other here, so each may stand in the table once."""
        for identity, count in Counter(row.copy.dedup_id for row in self._warehouse.rows).items():
            if count > 1:
                self._bad.add("I2 warehouse", f"identity {identity} stands {count} times in the warehouse")

    def _check_row(self, row: Row) -> None:
        partition, offset = row.copy.position
        oracle = self._oracle.partitions[partition]
        raw = oracle.raw.get(offset)
        if raw is None or oracle.verdicts.get(offset, (None,))[0] is not Verdict.ACCEPTED:
            self._bad.add("I3 foreign", f"row of raw record {partition}/{offset}, which was not accepted")
            return
        event, values = decode_event(raw.value), row.values
        said = (
            identity_of(event.source, event.id).hex(),
            event.source,
            event.id,
            f'{{"body":{event.body},"day":{event.day}}}',
        )
        found = (row.copy.dedup_id, values["source"], values["event_id"], values["properties"])
        if said != found:
            self._bad.add("I4 row", f"row of {partition}/{offset} says {found}, its record {said}")

    def _check_ledger(self) -> None:
        """Each file's entry accounts for all its rows, and the entries for all rows of the table."""
        by_file = Counter(row.copy.file_id for row in self._warehouse.rows)
        for entry in self._warehouse.ledger.values():
            if entry.inserted + entry.present + entry.suppressed != entry.rows:
                self._bad.add(
                    "I8 counts", f"the entry of {entry.key} does not account for its {entry.rows} rows"
                )
            if entry.inserted != by_file.pop(entry.file_id, 0) and not self._with_jobs:
                self._bad.add(
                    "I8 ledger", f"the ledger says {entry.inserted} rows of {entry.key}, the table differs"
                )
        if by_file and not self._with_jobs:
            self._bad.add("I8 ledger", "the table holds rows of files that the ledger does not know")

    def _check_rollups(self) -> None:
        if self._warehouse.rollups != Rollups.of([row.values for row in self._warehouse.rows]):
            self._bad.add("I8 rollups", "the rollups are not what a recomputation from the rows gives")

    def at_rest(self) -> None:
        """After healing: every file settled, every accepted identity present, its lowest copy the one that stays."""
        self._commits = -1
        self._moving = False
        self.observe()
        lowest = self._lowest_loaded()
        kept = {row.copy.dedup_id: row.copy.position for row in self._warehouse.rows}
        for partition in self._oracle.partitions:
            for offset, identity in partition.accepted_ids.items():
                self._check_kept(identity.hex(), partition.raw[offset].value, kept, lowest)

    def _check_kept(
        self,
        identity: str,
        value: bytes,
        kept: dict[str, tuple[int, int]],
        lowest: dict[str, tuple[int, int]],
    ) -> None:
        if ("user", decode_event(value).user_id) in self._warehouse.suppressed:
            return
        if identity not in kept:
            self._bad.add("I1 loss", f"identity {identity} was accepted and is not in the warehouse")
        elif kept[identity] != lowest[identity]:
            self._bad.add(
                "L2 lowest", f"{identity} is kept from {kept[identity]}, not from {lowest[identity]}"
            )

    def _lowest_loaded(self) -> dict[str, tuple[int, int]]:
        """Per identity the lowest position in the chains, which hold all that was accepted."""
        lowest: dict[str, tuple[int, int]] = {}
        for number, oracle in enumerate(self._oracle.partitions):
            for manifest in self._chains.events(number):
                self._check_settled(manifest)
            for offset in sorted(oracle.accepted_ids, reverse=True):
                lowest[oracle.accepted_ids[offset].hex()] = (number, offset)
        return lowest

    def _check_settled(self, manifest: Manifest) -> None:
        for file in manifest.files:
            if file_id(file.key) not in self._warehouse.ledger:
                self._bad.add("I8 unloaded", f"{file.key} is not in the ledger")
