"""The loop of the role `load`: look for staged files, fetch and check them, load them, say so, wait.

An outage makes it unready and slow, never wrong: whatever failed is tried again, and the ledger knows what is in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from headrace_core.errors import BadData, Unavailable
from headrace_loader.load import LoadResult, UnreadFile, load_in_order
from headrace_loader.load_discovery import LoadDiscovery
from headrace_loader.load_files import CheckedFile, ManifestFile, check_file
from headrace_loader.load_plan import LoadLimits
from headrace_loader.warehouse import LedgerEntry, Warehouse
from headrace_runtime.errors_store import ObjectNotFound, StoreUnavailable
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.process import Lifecycle

__all__ = ["LoadWorker"]

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_FETCHES_AT_ONCE = 4
_STUCK_AFTER_S = 1800.0
"""Every step has a deadline and fails before; a loop that is silent for longer hangs in a way that nobody foresaw."""
_TRIES_OF_A_TORN_FILE = 2
"""A file that reads as torn is read once more: the network may have torn it, and setting it aside needs a person."""


class LoadWorker:
    """One loader of the events table. ``announce`` is told of each loaded file; ``wait`` ends a pause early on a hint."""

    def __init__(
        self,
        life: Lifecycle,
        store: ObjectStore,
        warehouse: Warehouse,
        discovery: LoadDiscovery,
        *,
        writer: str,
        cadence_s: float,
        limits: LoadLimits,
        store_deadline_s: float,
        wait: Callable[[float], Awaitable[bool]],
        announce: Callable[[LedgerEntry], None],
    ) -> None:
        self._life = life
        self._store = store
        self._warehouse = warehouse
        self._discovery = discovery
        self._writer = writer
        self._cadence_s = cadence_s
        self._limits = limits
        self._deadline_s = store_deadline_s
        self._wait = wait
        self._announce = announce
        self._fetches = asyncio.Semaphore(_FETCHES_AT_ONCE)
        self._newest_received_us: int | None = None
        self._turned_at_s = life.clock.monotonic_s()

    async def run(self) -> None:
        """Load until the process is asked to stop."""
        pause_s = _FIRST_PAUSE_S
        self._life.health.watch("load", self._stuck)
        while not self._life.stopping.is_set():
            self._turned_at_s = self._life.clock.monotonic_s()
            try:
                more = await self.cycle()
            except Unavailable as error:
                self._unavailable(error)
                await self._life.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            self._life.health.up("warehouse")
            self._life.health.up("store")
            pause_s = _FIRST_PAUSE_S
            if not more:
                await self._wait(self._cadence_s)

    async def cycle(self) -> bool:
        """Look, and load one transaction's worth; whether more waits."""
        await self._discovery.look()
        self._measure_freshness()
        files = self._discovery.next_files(self._limits)
        if not files:
            return False
        fetched = await asyncio.gather(*(self._fetch_one(file) for file in files))
        result = await self._load(fetched)
        self._discovery.settle([*result.loaded, *(entry.file_id for entry in result.set_aside)])
        self._report(result)
        return bool(self._discovery.next_files(self._limits))

    async def _fetch_one(self, file: ManifestFile) -> CheckedFile | UnreadFile:
        failure: BadData | None = None
        for _ in range(_TRIES_OF_A_TORN_FILE):
            try:
                async with self._fetches:
                    content = await self._store.get(file.file.key, deadline_s=self._deadline_s)
                    return await asyncio.to_thread(check_file, file, content)
            except ObjectNotFound as error:
                failure = BadData(
                    "A staged file is missing.",
                    why=f"{file.file.key}: {error.why or error.what}",
                    fix="Restore the object from its bucket version, then release the file.",
                    code="file_missing",
                )
            except BadData as error:
                failure = error
        assert failure is not None
        return UnreadFile(file, failure)

    async def _load(self, files: Sequence[CheckedFile | UnreadFile]) -> LoadResult:
        began, now_us = self._life.clock.monotonic_s(), self._life.clock.now_ms() * 1000
        rows = sum(file.rows for file in files if isinstance(file, CheckedFile))
        with self._life.telemetry.span("load", files=len(files), rows=rows):
            result = await load_in_order(self._warehouse, files, now_us=now_us, writer=self._writer)
        self._life.telemetry.observe(
            "headrace_load_transaction_seconds", self._life.clock.monotonic_s() - began
        )
        return result

    def _report(self, result: LoadResult) -> None:
        telemetry = self._life.telemetry
        new = [result.loaded[file_id] for file_id in result.new]
        for outcome in ("inserted", "present", "suppressed"):
            telemetry.count(
                "headrace_load_rows_total", sum(getattr(entry, outcome) for entry in new), outcome=outcome
            )
        for entry in new:
            self._announce(entry)
        for aside in result.set_aside:
            telemetry.count("headrace_load_files_set_aside_total", error=aside.code)
            telemetry.count("headrace_load_rows_total", aside.rows, outcome="set_aside")
            fields = {"file": aside.key, "code": aside.code, "why": aside.message, "rows": aside.rows}
            _log.error("A staged file is set aside; the others are loaded.", extra=fields)
        received = [entry.max_received_us for entry in result.loaded.values() if entry.max_received_us]
        if received:
            self._newest_received_us = max([*received, self._newest_received_us or 0])
        self._measure_freshness()
        if new:
            fields = {
                "files": len(new),
                "rows": sum(entry.rows for entry in new),
                "transactions": result.transactions,
            }
            _log.info("Staged files are loaded.", extra=fields)

    def _measure_freshness(self) -> None:
        """Age of the newest received event that is loaded: it grows while nothing comes, and while nothing is loaded."""
        if self._newest_received_us is not None:
            age_s = self._life.clock.now_ms() / 1000 - self._newest_received_us / 1_000_000
            self._life.telemetry.gauge("headrace_load_freshness_seconds", age_s)

    def _stuck(self) -> str | None:
        silent_s = self._life.clock.monotonic_s() - self._turned_at_s
        return (
            f"The load has been silent for {silent_s:.0f} s."
            if silent_s > _STUCK_AFTER_S + self._cadence_s
            else None
        )

    def _unavailable(self, error: Unavailable) -> None:
        component = "store" if isinstance(error, StoreUnavailable) else "warehouse"
        self._life.health.down(component, str(error))
        self._life.telemetry.count("headrace_load_retries_total", error=error.code)
        self._life.telemetry.count("headrace_dependency_errors_total", dependency=component)
        _log.warning(
            "The load is tried again.", extra={"code": error.code, "why": error.why, "what": error.what}
        )
