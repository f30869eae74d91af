"""Memory of the table of seen ids: resident bytes per id after ten million, each side in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys

import numpy as np

from benchmarks.measure import Figure, Sample, interleave, resident_bytes
from headrace_core.decide import entry
from headrace_dedup.table import IdTable

__all__ = ["BYTES_PER_ID", "main"]

_IDS = 10_000_000
_CALL_IDS = 4_000
_TABLE_BYTES = 1 << 30
_WITHIN_S = 300.0


def _fill_table(ids: int) -> object:
    table = IdTable(max_bytes=_TABLE_BYTES)
    chance = np.random.default_rng(7)
    for start in range(0, ids, _CALL_IDS):
        joined = chance.bytes(16 * _CALL_IDS)
        keys = [joined[at : at + 16] for at in range(0, len(joined), 16)]
        table.set_many(keys, [entry(start + at, at) for at in range(_CALL_IDS)])
    if len(table) < ids:
        raise RuntimeError(f"the table holds {len(table)} of {ids} ids")
    return table


def _fill_set(ids: int) -> object:
    seen: set[bytes] = set()
    chance = np.random.default_rng(7)
    for _ in range(0, ids, _CALL_IDS):
        joined = chance.bytes(16 * _CALL_IDS)
        seen.update([joined[at : at + 16] for at in range(0, len(joined), 16)])
    return seen


async def _grown(side: str) -> Sample:
    """Bytes per id of one side; a Sample whose rate is that number."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.dedup_table", side, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_WITHIN_S):
        output, _ = await child.communicate()
    return Sample(json.loads(output)["bytes"], _IDS)


async def _measure(rounds: int) -> tuple[list[float], list[float]]:
    return await interleave(lambda: _grown("table"), lambda: _grown("set"), rounds=rounds, warm_up=False)


BYTES_PER_ID = Figure(
    "dedup_bytes_per_id",
    "dedup",
    "bytes",
    "<= 42",
    "a Python set of 16-byte bytes",
    _measure,
    less_is_better=True,
)
"""(Resident bytes after 10 M ids - before) / ids."""


def main(side: str) -> None:
    """Fill one side and print by how much this process grew."""
    fill = {"table": _fill_table, "set": _fill_set}[side]
    fill(_CALL_IDS)
    gc.collect()
    before = resident_bytes(os.getpid())
    kept = fill(_IDS)
    gc.collect()
    print(json.dumps({"bytes": resident_bytes(os.getpid()) - before, "kind": type(kept).__name__}))


if __name__ == "__main__":
    main(sys.argv[1])
