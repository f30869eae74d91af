"""Figures of the ingest service: events per CPU second of its process, on a real broker, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Figure, Sample, cpu_seconds, interleave
from benchmarks.ordinary.ingest import TOPIC
from headrace_local.installation import create_topics
from headrace_local.keys import LocalKeys
from headrace_local.ports import choose_ports
from headrace_local.processes import ServiceProcess
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin
from headrace_runtime.ports_log import TopicSpec

__all__ = ["FIGURES"]

_PARTITIONS = 12
_ROUNDS = 5
_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two services under the same load."""

    pid: int
    port: int
    key: str


async def _listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def _both() -> AsyncIterator[tuple[_Side, _Side]]:
    """A broker with both services up."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        root = Path(folder)
        root.chmod(0o711)
        async with LocalStack(root / "stack", fast=False) as stack:
            await create_topics(stack.endpoints.kafka_bootstrap, _PARTITIONS, 1)
            await _ordinary_topic(stack.endpoints.kafka_bootstrap)
            keys = LocalKeys(root)
            key, _ = keys.ensure("web")
            ports = choose_ports(["ours", "ordinary"])
            ours = ServiceProcess(
                "ingest",
                [sys.executable, "-m", "headrace_ingest"],
                {
                    **stack.environment(),
                    "HEADRACE_PARTITIONS": str(_PARTITIONS),
                    "HEADRACE_WRITE_KEYS_FILE": str(keys.hashes),
                    "HEADRACE_HTTP_PORT": str(ports["ours"]),
                },
                root / "ingest.log",
                ready=lambda: _listening(ports["ours"]),
            )
            ordinary = ServiceProcess(
                "ordinary",
                [
                    sys.executable,
                    "-m",
                    "benchmarks.ordinary.ingest",
                    str(ports["ordinary"]),
                    stack.endpoints.kafka_bootstrap,
                ],
                {},
                root / "ordinary.log",
                ready=lambda: _listening(ports["ordinary"]),
            )
            await asyncio.gather(ours.start(), ordinary.start())
            try:
                yield _Side(ours.pid, ports["ours"], key), _Side(ordinary.pid, ports["ordinary"], key)
            finally:
                await asyncio.gather(ours.stop(), ordinary.stop())


async def _ordinary_topic(bootstrap: str) -> None:
    admin = KafkaLogAdmin(KafkaConnection(bootstrap))
    await admin.start()
    try:
        await admin.create_topics([TopicSpec(TOPIC, _PARTITIONS, 1)])
    finally:
        await admin.stop()


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


async def _measure(per_request: int, *, compress: bool = False) -> tuple[list[float], list[float]]:
    path = "/v1/event" if per_request == 1 else "/v1/events"
    async with _both() as (ours, ordinary):
        return await interleave(
            lambda: _load(ours, per_request=per_request, compress=compress, path="/v1/events"),
            lambda: _load(ordinary, per_request=per_request, compress=False, path=path),
            rounds=_ROUNDS,
        )


_ORDINARY = "FastAPI, pydantic model, aiokafka send_and_wait per event, defaults, acks=all"

FIGURES = (
    Figure("ingest_json_50", "ingest", "events/s/core", ">= 60,000", _ORDINARY, lambda: _measure(50)),
    Figure(
        "ingest_gzip_50",
        "ingest",
        "events/s/core",
        "goal 80,000",
        f"{_ORDINARY} (uncompressed bodies: it takes no others)",
        lambda: _measure(50, compress=True),
    ),
    Figure("ingest_json_1", "ingest", "events/s/core", ">= 15,000", _ORDINARY, lambda: _measure(1)),
)
"""Figures of this module."""
