"""``python -m benchmarks.load.http_load``: keep-alive connections that post prepared bodies as fast as they are answered.

Prints one JSON line: requests, events, errors, seconds. A process of its own, so that its CPU time is not the service's.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import json
import time
from typing import cast

import uvloop

from benchmarks.bodies import Traffic

__all__ = ["main"]

_EVENTS = 8_000


class _Connection(asyncio.Protocol):
    """Posts the next body whenever an answer is complete."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass of asyncio's
        self._transport.write(self._load.next_request())

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, _, body = self._answer.partition(b"\r\n\r\n")
        length = int(head.lower().rpartition(b"content-length:")[2].split(b"\r\n", 1)[0] or b"0")
        if len(body) < length:
            return
        self._load.answered(head)
        self._answer = b""
        if self._load.over:
            self._transport.close()
        else:
            self._transport.write(self._load.next_request())

    def connection_lost(self, _error: Exception | None) -> None:
        self._load.closed()


class _Load:
    """What all connections share."""

    def __init__(self, requests: list[bytes], seconds: float, connections: int) -> None:
        self._requests = requests
        self._end = time.monotonic() + seconds
        self._open = connections
        self._next = 0
        self.good = self.bad = 0
        self.done = asyncio.get_running_loop().create_future()

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._end

    def next_request(self) -> bytes:
        self._next = (self._next + 1) % len(self._requests)
        return self._requests[self._next]

    def answered(self, head: bytes) -> None:
        if head.startswith(b"HTTP/1.1 200"):
            self.good += 1
        else:
            self.bad += 1

    def closed(self) -> None:
        self._open -= 1
        if self._open == 0 and not self.done.done():
            self.done.set_result(None)


def _requests(path: str, key: str, per_request: int, compress: bool) -> list[bytes]:
    credentials = base64.b64encode(f"{key}:".encode()).decode()
    events = Traffic().take(_EVENTS)
    prepared = []
    for start in range(0, len(events) - per_request + 1, per_request):
        chosen = events[start : start + per_request]
        body = chosen[0] if per_request == 1 else b"[" + b",".join(chosen) + b"]"
        encoding = ""
        if compress:
            body, encoding = gzip.compress(body, 6), "content-encoding: gzip\r\n"
        head = (
            f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Basic {credentials}\r\n"
            f"content-type: application/json\r\n{encoding}content-length: {len(body)}\r\n\r\n"
        )
        prepared.append(head.encode() + body)
    return prepared


async def _run(options: argparse.Namespace) -> None:
    requests = _requests(options.path, options.key, options.per_request, options.gzip)
    began = time.monotonic()
    load = _Load(requests, options.seconds, options.connections)
    loop = asyncio.get_running_loop()
    for _ in range(options.connections):
        await loop.create_connection(lambda: _Connection(load), "127.0.0.1", options.port)
    async with asyncio.timeout(options.seconds + 30):
        await load.done
    print(
        json.dumps(
            {
                "requests": load.good,
                "events": load.good * options.per_request,
                "errors": load.bad,
                "seconds": time.monotonic() - began,
            }
        )
    )


def main() -> None:
    """Run the load."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v1/events")
    parser.add_argument("--key", required=True)
    parser.add_argument("--per-request", type=int, default=50)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--gzip", action="store_true")
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
