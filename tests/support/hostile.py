"""A sender that repeats itself and a killer: the two sides of a fault test on real processes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from headrace_local.installation import Installation

__all__ = ["Killer", "RowSender", "overlapping"]

_BATCH_ROWS = 150
_STRIDE_ROWS = 100


def overlapping(rows: Sequence[dict[str, Any]], chance: random.Random) -> Iterator[bytes]:
    """NDJSON bodies that hold every row, in shuffled order, a third of the rows in two bodies."""
    shuffled = list(rows)
    chance.shuffle(shuffled)
    starts = list(range(0, len(shuffled), _STRIDE_ROWS))
    chance.shuffle(starts)
    for start in starts:
        yield b"\n".join(json.dumps(row).encode() for row in shuffled[start : start + _BATCH_ROWS])


@dataclass(slots=True)
class RowSender:
    """Posts rows to one mapping until each is acknowledged; an unknown outcome is sent again."""

    installation: Installation
    source: str
    mapping: str
    acknowledged_rows: int = 0
    repeated: int = 0

    async def send(self, bodies: Iterator[bytes], *, connections: int) -> None:
        """Send all bodies with several connections."""
        auth = (self.installation.write_key(self.source), "")
        async with (
            httpx.AsyncClient(base_url=self.installation.ingest_url, auth=auth, timeout=20.0) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(connections):
                tasks.create_task(self._drain(client, bodies))

    async def _drain(self, client: httpx.AsyncClient, bodies: Iterator[bytes]) -> None:
        for body in bodies:
            while not await self._post(client, body):
                self.repeated += 1
                await asyncio.sleep(0.2)

    async def _post(self, client: httpx.AsyncClient, body: bytes) -> bool:
        try:
            answer = await client.post(
                f"/v1/import/{self.mapping}", content=body, headers={"content-type": "application/x-ndjson"}
            )
        except httpx.TransportError:
            return False
        if answer.status_code == 200:
            assert not answer.json().get("rejected"), answer.text[:500]
            self.acknowledged_rows += len(answer.json()["receipts"])
            return True
        assert answer.status_code in {429, 503}, answer.text[:500]
        return False


@dataclass(slots=True)
class Killer:
    """Ends processes with SIGKILL in random order and starts them again."""

    installation: Installation
    chance: random.Random
    kills: dict[str, int] = field(default_factory=dict)

    async def run(self, times: dict[str, int]) -> None:
        """Kill each named process so many times; returns when all of them are up again."""
        order = [name for name, count in times.items() for _ in range(count)]
        self.chance.shuffle(order)
        async with asyncio.TaskGroup() as tasks:
            turns = {name: asyncio.Lock() for name in times}
            for name in order:
                await asyncio.sleep(self.chance.uniform(0.3, 1.2))
                tasks.create_task(self._kill(name, turns[name]))

    async def _kill(self, name: str, turn: asyncio.Lock) -> None:
        async with turn:
            process = self.installation.services.get(name) or self.installation.stack.servers[name]
            await asyncio.to_thread(process.kill)
            self.kills[name] = self.kills.get(name, 0) + 1
            await asyncio.sleep(self.chance.uniform(0.0, 0.8))
            await process.start()
            await asyncio.sleep(self.chance.uniform(0.0, 1.0))
