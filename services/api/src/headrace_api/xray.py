"""The X-ray: the way of one event through every part, assembled from what the parts themselves say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from headrace_api.census import Census, FoundVerdict
from headrace_api.lookups import LogLookups, header
from headrace_api.manifests import ManifestIndex
from headrace_api.warehouse import WarehouseReader
from headrace_core.block import Verdict
from headrace_core.errors import Unavailable
from headrace_core.events import CleanEvent, decode_clean
from headrace_core.keys import dedup_id, partition_of
from headrace_core.manifest import File, Manifest
from headrace_core.meta import decode_index, decode_meta, decode_note
from headrace_core.topics import HEADER_INDEX, HEADER_META, HEADER_QUARANTINE
from headrace_runtime.ports_log import Record

__all__ = ["Step", "Tracer", "XRay"]

State = Literal["done", "waiting", "absent", "unknown"]
_T = TypeVar("_T")
_RECEIPT = re.compile(r"^(\d{1,4})-(\d{1,19})$")
_DEDUP_ID = re.compile(r"^[0-9a-f]{32}$")


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part's view of the event. ``at_ms`` is when it happened, ``facts`` what the part stores about it."""

    name: Literal["raw", "verdict", "quarantine", "clean", "file", "ledger", "warehouse"]
    state: State
    explanation: str
    at_ms: int | None = None
    facts: dict[str, Any] = {}


class XRay(msgspec.Struct, frozen=True, kw_only=True):
    """The way of one raw record, and every other raw record with the same id."""

    id: str
    found: bool
    explanation: str
    steps: list[Step]
    appearances: list[dict[str, Any]]


class Tracer:
    """Follows events. Every method answers within the look-ups' deadlines; a part that is down is told as unknown."""

    def __init__(
        self,
        census: Census,
        manifests: ManifestIndex,
        lookups: LogLookups,
        warehouse: WarehouseReader,
        deadline_s: float,
    ) -> None:
        self._census = census
        self._manifests = manifests
        self._lookups = lookups
        self._warehouse = warehouse
        self._deadline_s = deadline_s

    async def trace(self, identifier: str, sources: Sequence[str]) -> XRay:
        """Follow an event by receipt (``<partition>-<offset>``), dedup id (32 hex digits) or the client's event id."""
        receipt = _RECEIPT.match(identifier)
        if receipt and int(receipt[1]) < len(self._census.partitions):
            by_receipt = await self._follow(identifier, int(receipt[1]), int(receipt[2]))
            if by_receipt.found:
                return by_receipt
        for identity in self._identities(identifier, sources):
            verdicts = self._census.find(partition_of(identity, len(self._census.partitions)), identity)
            if verdicts:
                main = next((found for found in verdicts if found.verdict is Verdict.ACCEPTED), verdicts[-1])
                return await self._follow(identifier, main.partition, main.offset)
        return await self._by_warehouse(identifier, sources)

    def _identities(self, identifier: str, sources: Sequence[str]) -> list[bytes]:
        if _DEDUP_ID.match(identifier):
            return [bytes.fromhex(identifier)]
        return [dedup_id(source, identifier) for source in sources]

    async def _by_warehouse(self, identifier: str, sources: Sequence[str]) -> XRay:
        """An event that is older than the verdicts held here, found by its warehouse row."""
        for identity in self._identities(identifier, sources):
            row = await self._known(self._warehouse.event(identity.hex(), deadline_s=self._deadline_s))
            if row:
                return await self._follow(identifier, row["src_partition"], row["src_offset"])
        held = sum(len(partition.recent) for partition in self._census.partitions)
        return XRay(
            id=identifier,
            found=False,
            explanation=(
                f"No event with this id in the sources {', '.join(sources) or '(none seen yet)'}: neither in the warehouse "
                f"nor among the verdicts of the newest {held} ranges. Was it acknowledged with 200? Give source=… if it "
                "was sent with another write key."
            ),
            steps=[],
            appearances=[],
        )

    async def _follow(self, identifier: str, partition: int, offset: int) -> XRay:
        raw = await self._known(self._lookups.raw(partition, offset))
        verdict = self._census.verdict_at(partition, offset)
        if raw is None and verdict is None:
            return XRay(id=identifier, found=False, explanation="No such record.", steps=[], appearances=[])
        steps = [
            _raw_step(raw, partition, offset),
            _verdict_step(verdict, self._census.partitions[partition].decided_to),
        ]
        if verdict is not None and verdict.verdict is Verdict.QUARANTINED:
            steps.append(_quarantine_step(await self._known(self._lookups.quarantine(partition, offset))))
        if verdict is None or verdict.verdict is Verdict.ACCEPTED:
            steps += await self._accepted_steps(partition, offset)
        identity = raw.key if raw is not None and raw.key else verdict.dedup_id if verdict else b""
        return XRay(
            id=identifier,
            found=True,
            explanation=steps[-1].explanation,
            steps=steps,
            appearances=[_appearance(found) for found in self._census.find(partition, identity)]
            if identity
            else [],
        )

    async def _accepted_steps(self, partition: int, offset: int) -> list[Step]:
        record = await self._known(self._lookups.clean(partition, offset))
        clean = decode_clean(record.value) if record is not None and record.value else None
        # The row is asked for before the ledger: both were committed together, so a row that is seen has its ledger row.
        row = (
            await self._known(self._warehouse.event(clean.dedup_id, deadline_s=self._deadline_s))
            if clean
            else None
        )
        manifest = self._manifests.find(partition, offset)
        steps = [_clean_step(record, clean)]
        if manifest is None and row is None:
            steps.append(_file_step(None, []))
        else:
            ledger = await self._known(self._ledger_rows(manifest, row))
            steps += [_file_step(manifest, ledger or []), _ledger_step(ledger)]
        if clean is not None:
            steps.append(_warehouse_step(row))
        return steps

    async def _ledger_rows(
        self, manifest: Manifest | None, row: dict[str, Any] | None
    ) -> list[dict[str, Any]]:
        """Of the manifest's files; where no manifest is held, of the file that the row says it came in."""
        keys = [file.key for file in manifest.files] if manifest else []
        file_ids = [row["file_id"]] if row and not keys else []
        return await self._warehouse.ledger_rows(keys, file_ids, deadline_s=self._deadline_s)

    async def _known(self, answer: Awaitable[_T]) -> _T | None:
        """What a part says; None where it does not answer."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await answer
        except (Unavailable, TimeoutError):
            return None


def _raw_step(record: Record | None, partition: int, offset: int) -> Step:
    position = {"topic_partition": partition, "offset": offset}
    if record is None:
        text = "The raw record is not readable any more (kept 7 days), or Kafka does not answer."
        return Step(name="raw", state="unknown", explanation=text, facts=position)
    meta = header(record, HEADER_META)
    index = header(record, HEADER_INDEX)
    facts: dict[str, Any] = {
        **position,
        "dedup_id": record.key.hex() if record.key else None,
        "bytes": len(record.value or b""),
        "event": (record.value or b"").decode(errors="replace"),
        "request": _plain(decode_meta(meta)) if meta else None,
        "index_in_request": decode_index(index) if index else None,
    }
    return Step(
        name="raw",
        state="done",
        at_ms=record.timestamp,
        explanation="Acknowledged by all replicas: the event's own bytes.",
        facts=facts,
    )


def _verdict_step(found: FoundVerdict | None, decided_to: int) -> Step:
    if found is None:
        text = f"No verdict is held: undecided yet, or decided long ago (the partition is decided up to {decided_to})."
        return Step(name="verdict", state="waiting", explanation=text)
    explanation = {
        Verdict.ACCEPTED: "Accepted: the first record with this id inside the window.",
        Verdict.DUPLICATE: f"Duplicate of the record at offset {found.first_offset} of the same partition.",
        Verdict.QUARANTINED: f"Quarantined: {found.reason}"
        + (f", against the record at offset {found.first_offset}." if found.first_offset >= 0 else "."),
    }[found.verdict]
    facts = {
        "verdict": found.verdict.name.lower(),
        "reason": found.reason,
        "first_offset": found.first_offset,
        "fingerprint": f"{found.fingerprint:016x}",
        "index_offset": found.index_offset,
        "rules_version": found.rules_version,
    }
    return Step(name="verdict", state="done", at_ms=found.clock_ms, explanation=explanation, facts=facts)


def _quarantine_step(record: Record | None) -> Step:
    note = header(record, HEADER_QUARANTINE) if record else None
    if record is None or note is None:
        return Step(
            name="quarantine", state="unknown", explanation="The quarantine record was not found in time."
        )
    facts = {"offset": record.offset, **msgspec.to_builtins(decode_note(note))}
    text = "Kept byte for byte, to be repaired and sent again."
    return Step(name="quarantine", state="done", at_ms=record.timestamp, explanation=text, facts=facts)


def _plain(value: object) -> Any:
    """A struct as what JSON shows of it, raw JSON inside included."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _clean_step(record: Record | None, clean: CleanEvent | None) -> Step:
    if record is None or clean is None:
        return Step(
            name="clean", state="waiting", explanation="Not in events.clean yet, or no longer (kept 7 days)."
        )
    text = f"Normalised: time is {clean.ts_quality}, user is {clean.identity_status}."
    facts = {"offset": record.offset, "event": _plain(clean)}
    return Step(name="clean", state="done", at_ms=record.timestamp, explanation=text, facts=facts)


def _file_step(manifest: Manifest | None, ledger: Sequence[dict[str, Any]]) -> Step:
    if manifest is None and ledger:
        text = "Staged: the load ledger names the file. Its manifest is not held here: just written, or of long ago."
        facts: dict[str, Any] = {"files": [{"key": loaded["file_key"]} for loaded in ledger]}
        return Step(name="file", state="done", explanation=text, facts=facts)
    if manifest is None:
        return Step(name="file", state="waiting", explanation="Not in a staged file yet.")
    files: tuple[File, ...] = manifest.files
    facts = {
        "manifest_start": manifest.start,
        "manifest_end": manifest.end,
        "files": msgspec.to_builtins(files),
    }
    return Step(
        name="file",
        state="done",
        at_ms=manifest.created_ms,
        explanation="Staged and named by a manifest.",
        facts=facts,
    )


def _ledger_step(rows: list[dict[str, Any]] | None) -> Step:
    if not rows:
        return Step(name="ledger", state="waiting", explanation="The file is not in the load ledger yet.")
    text = "Loaded: the ledger row and the data were committed together."
    return Step(
        name="ledger", state="done", at_ms=rows[0]["loaded_ms"], explanation=text, facts={"files": rows}
    )


def _warehouse_step(row: dict[str, Any] | None) -> Step:
    if row is None:
        text = "No row yet, expired from the hot table, suppressed, or the warehouse does not answer."
        return Step(name="warehouse", state="waiting", explanation=text)
    return Step(
        name="warehouse", state="done", explanation="Exactly one row in analytics.events.", facts={"row": row}
    )


def _appearance(found: FoundVerdict) -> dict[str, Any]:
    return {
        "receipt": f"{found.partition}-{found.offset}",
        "verdict": found.verdict.name.lower(),
        "reason": found.reason,
        "clock_ms": found.clock_ms,
    }
