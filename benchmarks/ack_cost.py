"""What waiting for acknowledgements costs: throughput without waiting ÷ with, through the code that ingest appends with.

64 senders hand over requests of 50 events. With waiting, a sender takes its next request when every event of the last one
is acknowledged by all replicas; without, as soon as the client took the last one. Both end when all is acknowledged.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine

import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.bodies import Traffic
from benchmarks.measure import Figure
from benchmarks.records import raw_records
from benchmarks.stand import PARTITIONS, Rows, Stand, stand
from headrace_core.topics import EVENTS_RAW
from headrace_runtime.allocator import keep_freed_memory
from headrace_runtime.errors_log import AppendRefused
from headrace_runtime.kafka import Batcher, KafkaConnection, KafkaLogWriter

__all__ = ["ACK_COST", "main"]

_TOPIC = "bench.acks"
_SENDERS = 64
_PER_REQUEST = 50
_EVENTS = 48_000
_SECONDS = 3.0
_DEADLINE_S = 30.0
_FULL_PAUSE_S = 0.002
_MOST_WAITING_BYTES = 64 << 20

Request = tuple[list[int], list[bytes], list[bytes], list[bytes]]
"""Partitions, keys, values and header sections of its events."""
Send = Callable[[Request, bool], Awaitable[None]]


def _requests() -> list[Request]:
    """Requests as ingest has them once it has read them: preparing them is measured by ``ingest_json_50``."""
    partitions = raw_records(Traffic().take(_EVENTS))
    rows = [(partition, *row) for partition, columns in partitions.items() for row in _rows_of(columns)]
    step = len(rows) // _PER_REQUEST  # a request's events lie on all partitions
    chosen = [rows[at : at + step * _PER_REQUEST : step] for at in range(step)]
    return [tuple(map(list, zip(*request, strict=True))) for request in chosen]  # type: ignore[misc]  # four columns


def _rows_of(columns: Rows) -> zip[tuple[bytes, bytes, bytes]]:
    return zip(columns.keys, columns.values, columns.headers, strict=True)  # type: ignore[arg-type]  # none is None


async def _senders(send: Send, drain: Callable[[], Awaitable[None]], *, wait: bool) -> float:
    """Events per second."""
    requests = _requests()
    gc.freeze()
    began, sent = time.monotonic(), 0

    async def one(number: int) -> None:
        nonlocal sent
        at = number
        while time.monotonic() - began < _SECONDS:
            await send(requests[at % len(requests)], wait)
            sent += _PER_REQUEST
            at += _SENDERS

    await asyncio.gather(*(one(number) for number in range(_SENDERS)))
    await drain()
    return sent / (time.monotonic() - began)


async def _ours(bootstrap: str, wait: bool) -> float:
    writer = KafkaLogWriter(KafkaConnection(bootstrap))
    await writer.start()
    batcher = Batcher(
        writer,
        EVENTS_RAW.name,
        PARTITIONS,
        deadline_s=_DEADLINE_S,
        max_bytes_in_flight=_MOST_WAITING_BYTES,
    )

    async def send(request: Request, wait: bool) -> None:
        while True:
            try:
                acknowledged = batcher.add(*request)
                break
            except AppendRefused:
                await asyncio.sleep(_FULL_PAUSE_S)
        await (acknowledged if wait else asyncio.sleep(0))

    async def drain() -> None:
        if not await batcher.drain(deadline_s=_DEADLINE_S):
            raise RuntimeError("not all events were acknowledged")

    try:
        return await _senders(send, drain, wait=wait)
    finally:
        await batcher.close(deadline_s=1.0)
        await writer.stop()


async def _ordinary(bootstrap: str, wait: bool) -> float:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()

    async def send(request: Request, wait: bool) -> None:
        put = producer.send_and_wait if wait else producer.send
        await asyncio.gather(
            *(put(_TOPIC, value, key=key) for _, key, value, _ in zip(*request, strict=True))
        )

    async def drain() -> None:
        await producer.flush()

    try:
        return await _senders(send, drain, wait=wait)
    finally:
        await producer.stop()


async def _throughput(bench: Stand, side: str, how: str) -> float:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.ack_cost", side, how),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **bench.stack.environment()},
    )
    async with asyncio.timeout(_SECONDS + 120):
        output, _ = await child.communicate()
    return float(json.loads(output)["events_s"])


async def _cost(bench: Stand, side: str) -> float:
    return await _throughput(bench, side, "without") / await _throughput(bench, side, "with")


async def _measure(rounds: int) -> tuple[list[float], list[float]]:
    async with stand(_TOPIC) as bench:
        pairs = [(await _cost(bench, "ours"), await _cost(bench, "ordinary")) for _ in range(rounds)]
    return [ours for ours, _ in pairs], [ordinary for _, ordinary in pairs]


ACK_COST = Figure(
    "ack_cost",
    "ingest",
    "ratio",
    "<= 1.6",
    "aiokafka send() against send_and_wait() for every event, defaults, acks=all",
    _measure,
    less_is_better=True,
)
"""Throughput without waiting ÷ with waiting for acknowledgement."""


def main(side: str, how: str) -> None:
    """Measure one side once and print events per second."""
    keep_freed_memory()
    work: dict[str, Callable[[str, bool], Coroutine[None, None, float]]] = {
        "ours": _ours,
        "ordinary": _ordinary,
    }
    rate = uvloop.run(work[side](os.environ["HEADRACE_KAFKA_BOOTSTRAP"], how == "with"))
    print(json.dumps({"events_s": rate}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
