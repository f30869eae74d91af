"""Figures of the ingest service: events per CPU second of its process, on a real broker, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.measure import Figure, Sample, cpu_seconds, interleave
from benchmarks.ordinary.ingest import TOPIC
from benchmarks.stand import is_listening, stand
from headrace_local.keys import LocalKeys
from headrace_local.ports import choose_ports

__all__ = ["FIGURES"]

_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two services under the same load."""

    pid: int
    port: int
    key: str


@asynccontextmanager
async def _both() -> AsyncIterator[tuple[_Side, _Side]]:
    """A broker with both services up."""
    async with stand(TOPIC) as bench:
        keys = LocalKeys(bench.root)
        key, _ = keys.ensure("web")
        ports = choose_ports(["ours", "ordinary"])
        settings = {
            "HEADRACE_WRITE_KEYS_FILE": str(keys.hashes),
            "HEADRACE_HTTP_PORT": str(ports["ours"]),
        }
        ours = await bench.service("ingest", ["headrace_ingest"], settings)
        ordinary = await bench.ordinary(
            "ordinary",
            ["benchmarks.ordinary.ingest", str(ports["ordinary"]), bench.stack.endpoints.kafka_bootstrap],
            lambda: is_listening(ports["ordinary"]),
        )
        yield _Side(ours.pid, ports["ours"], key), _Side(ordinary.pid, ports["ordinary"], key)


async def _load(side: _Side, *, per_request: int, compress: bool, path: str) -> Sample:
    """One round of load against a side: events acknowledged per CPU second of its process."""
    before = cpu_seconds(side.pid)
    arguments = [
        *("-m", "benchmarks.load.http_load", "--port", str(side.port), "--key", side.key, "--path", path),
        *("--per-request", str(per_request), "--seconds", str(_SECONDS)),
        *(["--gzip"] if compress else []),
    ]
    load = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env={**os.environ}
    )
    async with asyncio.timeout(_SECONDS + 60):
        output, _ = await load.communicate()
    told = json.loads(output)
    if told["errors"]:
        raise RuntimeError(f"{told['errors']} requests were not answered 200 on port {side.port}")
    return Sample(told["events"], cpu_seconds(side.pid) - before)


async def _measure(
    rounds: int, per_request: int, *, compress: bool = False
) -> tuple[list[float], list[float]]:
    path = "/v1/event" if per_request == 1 else "/v1/events"
    async with _both() as (ours, ordinary):
        return await interleave(
            lambda: _load(ours, per_request=per_request, compress=compress, path="/v1/events"),
            lambda: _load(ordinary, per_request=per_request, compress=False, path=path),
            rounds=rounds,
        )


_ORDINARY = "FastAPI, pydantic model, aiokafka send_and_wait per event, defaults, acks=all"

FIGURES = (
    Figure(
        "ingest_json_50",
        "ingest",
        "events/s/core",
        ">= 60,000",
        _ORDINARY,
        lambda rounds: _measure(rounds, 50),
    ),
    Figure(
        "ingest_gzip_50",
        "ingest",
        "events/s/core",
        "goal 80,000",
        f"{_ORDINARY} (uncompressed bodies: it takes no others)",
        lambda rounds: _measure(rounds, 50, compress=True),
    ),
    Figure(
        "ingest_json_1", "ingest", "events/s/core", ">= 15,000", _ORDINARY, lambda rounds: _measure(rounds, 1)
    ),
)
"""Figures of this module."""
