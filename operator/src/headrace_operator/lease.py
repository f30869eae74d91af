"""Leadership by one Lease: who holds it works, who cannot renew it in time ends at once.

The rule is that of client-go: another's Lease is judged by how long *this* process has seen it unchanged, never by the times
that are written in it, so clocks may differ.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from headrace_core.clock import Clock
from headrace_core.errors import HeadraceError
from headrace_runtime.errors_kubernetes import ObjectAbsent
from headrace_runtime.ports_kubernetes import LEASES, Json, KubernetesApi

__all__ = ["Leadership", "LeaseTimes", "judge"]

_log = logging.getLogger(__name__)

Verdict = Literal["renew", "take", "wait"]


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """``duration_s``: how long others respect a Lease; ``renew_within_s``: how long the holder may go without renewing it
    before it ends; ``retry_s``: pause between tries."""

    duration_s: float = 15.0
    renew_within_s: float = 10.0
    retry_s: float = 2.0


def judge(spec: Json, me: str, unchanged_s: float) -> Verdict:
    """What to do about a Lease that this process has seen unchanged for so many seconds."""
    holder = spec.get("holderIdentity") or ""
    if holder == me:
        return "renew"
    if not holder or unchanged_s > float(spec.get("leaseDurationSeconds") or 0):
        return "take"
    return "wait"


class Leadership:
    """Gets the Lease and keeps it."""

    def __init__(
        self,
        api: KubernetesApi,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        me: str,
        times: LeaseTimes = LeaseTimes(),
    ) -> None:
        self._api = api
        self._clock = clock
        self._namespace, self._name, self._me = namespace, name, me
        self._times = times
        self._seen: Json = {}
        self._seen_at_s = 0.0
        self._renewed_at_s = 0.0

    async def acquire(self) -> None:
        """Return as the holder; waits as long as it takes."""
        while not await self._try():  # noqa: ASYNC110  (only the API server knows)
            await asyncio.sleep(self._times.retry_s)
        _log.info("This process leads.", extra={"lease": self._name, "holder": self._me})

    async def keep(self, on_lost: Callable[[str], None]) -> None:
        """Renew until cancelled. ``on_lost`` is called, with the reason, the moment the Lease can no longer be relied on."""
        while True:
            await asyncio.sleep(self._times.retry_s)
            holds = await self._try()
            silent_s = self._clock.monotonic_s() - self._renewed_at_s
            if holds or silent_s < self._times.renew_within_s:
                if not holds and self._other():
                    on_lost(f"{self._other()} holds the Lease {self._name}")
                    return
                continue
            on_lost(f"the Lease {self._name} could not be renewed for {silent_s:.0f} s")
            return

    async def release(self) -> None:
        """Let another process begin at once. Best effort: the Lease runs out by itself."""
        if self._other() or not self._seen:
            return
        spec = {**self._seen.get("spec", {}), "holderIdentity": "", "leaseDurationSeconds": 1}
        body = {**self._seen, "spec": spec}
        try:
            await self._api.replace(LEASES, self._namespace, self._name, body, deadline_s=2.0)
        except HeadraceError as error:
            _log.warning("The Lease was not released.", extra={"lease": self._name, "why": str(error)})

    def _other(self) -> str:
        """Who holds the Lease as last seen, if it is another process."""
        holder = str(self._seen.get("spec", {}).get("holderIdentity") or "")
        return "" if holder == self._me else holder

    async def _try(self) -> bool:
        """One attempt to get or renew the Lease; whether this process holds it now."""
        began_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._times.renew_within_s):
                if not await self._write():
                    return False
        except (HeadraceError, TimeoutError) as error:
            _log.warning("The Lease was not renewed.", extra={"lease": self._name, "why": str(error)})
            return False
        self._renewed_at_s = began_s
        return True

    async def _write(self) -> bool:
        try:
            found = await self._api.get(
                LEASES, self._namespace, self._name, deadline_s=self._times.renew_within_s
            )
        except ObjectAbsent:
            body = {"metadata": {"name": self._name}, "spec": self._spec({})}
            self._see(
                await self._api.create(LEASES, self._namespace, body, deadline_s=self._times.retry_s * 2)
            )
            return True
        self._see(found)
        spec = found.get("spec") or {}
        verdict = judge(spec, self._me, self._clock.monotonic_s() - self._seen_at_s)
        if verdict == "wait":
            return False
        body = {**found, "spec": self._spec(spec if verdict == "renew" else {}, before=spec)}
        written = await self._api.replace(
            LEASES, self._namespace, self._name, body, deadline_s=self._times.retry_s * 2
        )
        self._see(written)
        return True

    def _see(self, lease: Json) -> None:
        if lease.get("spec") != self._seen.get("spec"):
            self._seen_at_s = self._clock.monotonic_s()
        self._seen = lease

    def _spec(self, mine: Json, *, before: Json | None = None) -> Json:
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).isoformat(timespec="microseconds")
        moment = now.replace("+00:00", "Z")
        changes = int((before or {}).get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._me,
            "leaseDurationSeconds": int(self._times.duration_s),
            "acquireTime": mine.get("acquireTime") or moment,
            "renewTime": moment,
            "leaseTransitions": changes if mine or before is None else changes + 1,
        }
