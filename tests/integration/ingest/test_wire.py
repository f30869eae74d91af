"""HTTP as no library would send it: contradictions, slow senders, bombs, pipelines. Good traffic goes on beside them."""

from __future__ import annotations

import asyncio
import base64
import gzip
from pathlib import Path

import pytest
from tests.support.ingest_service import BODY_DEADLINE_S, KEY, IngestService, ingest_service, until

from headrace_ingest.limits import WIRE_LIMIT_BYTES
from headrace_local.ports import LOOPBACK
from headrace_local.stack import LocalStack

pytestmark = pytest.mark.xdist_group("ingest")

DOORS = pytest.mark.parametrize("path", [b"/v1/events", b"/v1/events?door=asgi"], ids=["fast-lane", "asgi"])
AUTH = b"Authorization: Basic " + base64.b64encode(f"{KEY}:".encode())
EVENT = b'{"type":"track","name":"E","id":"wire"}'


def request(body: bytes, *headers: bytes, path: bytes = b"/v1/events") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", AUTH, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def sized(body: bytes, *headers: bytes, path: bytes = b"/v1/events") -> bytes:
    return request(body, b"Content-Length: %d" % len(body), *headers, path=path)


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


async def talk(service: IngestService, *parts: bytes, pause_s: float = 0.0, within_s: float = 8.0) -> bytes:
    """Send the parts one after the other, read until the server closes or falls silent."""
    reader, writer = await asyncio.open_connection(LOOPBACK, service.port)
    received = b""
    try:
        async with asyncio.timeout(within_s):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
            while True:
                async with asyncio.timeout(max(1.0, 3 * BODY_DEADLINE_S)):
                    data = await reader.read(65536)
                if not data:
                    break
                received += data
                if received.count(b"HTTP/1.1 ") and received.endswith(b"}") and pause_s == 0.0:
                    break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return received


def statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


async def assert_good_traffic(service: IngestService) -> None:
    async with service.client() as client:
        answer = await client.post("/v1/events", content=EVENT)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        request(EVENT, b"Content-Length: 39", b"Transfer-Encoding: chunked"),
        request(EVENT, b"Content-Length: 39", b"Content-Length: 3"),
        request(EVENT, b"Content-Length: -1"),
        request(EVENT, b"Content-Length: 0x27"),
        request(b"zz\r\n" + EVENT, b"Transfer-Encoding: chunked"),
        request(EVENT, b"Content-Length : 39"),
        b"POST /v1/events HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
    ],
    ids=["cl-te", "two-cl", "negative", "hex", "bad-chunk", "space", "version", "tls", "no-url"],
)
async def test_contradictions_are_refused_and_the_connection_closed(
    service: IngestService, raw: bytes
) -> None:
    received = await talk(service, raw)
    assert statuses(received) == [400]
    assert b"malformed_request" in received
    assert b"connection: close" in received
    await assert_good_traffic(service)


@DOORS
async def test_chunked_bodies(service: IngestService, path: bytes) -> None:
    body = chunked(EVENT[:10], EVENT[10:]) + b"0\r\n\r\n"
    assert statuses(await talk(service, request(body, b"Transfer-Encoding: chunked", path=path))) == [200]
    with_extension = b"%x;name=value\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT)
    assert statuses(
        await talk(service, request(with_extension, b"Transfer-Encoding: chunked", path=path))
    ) == [200]


@DOORS
async def test_chunked_bodies_are_bounded_while_received(service: IngestService, path: bytes) -> None:
    part = chunked(b"x" * 65536)
    head = request(b"", b"Transfer-Encoding: chunked", path=path)
    received = await talk(service, head, *[part] * 40)
    assert statuses(received)[0] == 413
    assert b"body_too_large" in received
    await assert_good_traffic(service)


@DOORS
async def test_a_declared_size_over_the_limit_is_refused_before_the_body(
    service: IngestService, path: bytes
) -> None:
    head = request(b"", b"Content-Length: %d" % (WIRE_LIMIT_BYTES + 1), path=path)
    received = await talk(service, head)
    assert statuses(received) == [413]


async def test_a_client_that_sends_all_of_a_large_body_still_reads_the_answer(service: IngestService) -> None:
    async with service.client() as client:
        answer = await client.post("/v1/batch", content=b"x" * (4 << 20))
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


async def test_exactly_the_limit_is_taken(service: IngestService) -> None:
    filler = b" " * (WIRE_LIMIT_BYTES - len(EVENT))
    async with service.client() as client:
        assert (await client.post("/v1/events", content=filler + EVENT)).status_code == 200


async def test_header_sections_are_bounded(service: IngestService) -> None:
    whole = await talk(service, sized(EVENT, b"X-Large: " + b"y" * 40_000))
    assert statuses(whole) == [431]
    endless = await talk(service, b"POST /v1/events HTTP/1.1\r\nX-Large: ", *[b"y" * 8192] * 10)
    assert statuses(endless) == [431]
    fine = await talk(service, sized(EVENT, b"X-Large: " + b"y" * 20_000))
    assert statuses(fine) == [200]


@DOORS
async def test_a_slow_body_is_cut_off(service: IngestService, path: bytes) -> None:
    pieces = [b'{"a":"', *[b"x"] * 6]
    received = await talk(service, request(b"", b"Content-Length: 5000", path=path), *pieces, pause_s=0.1)
    assert statuses(received) == [408]
    await assert_good_traffic(service)


async def test_a_slow_header_section_is_cut_off(service: IngestService) -> None:
    received = await talk(service, b"POST /v1/events HTTP/1.1\r\n", b"Host: x\r\n", pause_s=0.1)
    assert statuses(received) == [408]


@DOORS
async def test_many_stuck_connections_leave_good_traffic_alone(service: IngestService, path: bytes) -> None:
    head = request(b'{"a"', b"Content-Length: 1000", path=path)
    stuck = [asyncio.create_task(talk(service, head)) for _ in range(200)]
    await asyncio.sleep(0.3)
    await assert_good_traffic(service)
    assert {tuple(statuses(received)) for received in await asyncio.gather(*stuck)} == {(408,)}
    await service.until_metric("headrace_ingest_bytes_in_flight", 0)


@DOORS
async def test_a_sender_that_leaves_gives_its_bytes_back(service: IngestService, path: bytes) -> None:
    _, writer = await asyncio.open_connection(LOOPBACK, service.port)
    writer.write(request(b"x" * 50_000, b"Content-Length: 100000", path=path))
    await writer.drain()
    await service.until_metric("headrace_ingest_bytes_in_flight", 50_000)
    writer.close()
    await service.until_metric("headrace_ingest_bytes_in_flight", 0)


@DOORS
async def test_pipelined_requests_are_answered_in_order(service: IngestService, path: bytes) -> None:
    first, second = sized(EVENT, path=path), sized(b"[" + EVENT + b",5]", path=path)
    third = sized(b"{", path=b"/v1/batch")
    received = await talk(service, first + second + third, pause_s=0.5, within_s=4.0)
    assert statuses(received) == [200, 200, 400]
    assert received.index(b"null") < received.index(b"undecodable_body")


async def test_past_the_connection_limit_senders_are_told(ingest_stack: LocalStack) -> None:
    async with ingest_service(ingest_stack, max_connections=5) as service:
        held = [await asyncio.open_connection(LOOPBACK, service.port) for _ in range(5)]
        received = await talk(service, sized(EVENT))
        assert statuses(received) == [503]
        assert b"retry-after: " in received
        for _, writer in held:
            writer.close()
        await until(service, "/livez", 200)
        await assert_good_traffic(service)


async def test_expect_100_continue(service: IngestService) -> None:
    head = request(b"", b"Content-Length: %d" % len(EVENT), b"Expect: 100-continue")
    received = await talk(service, head, EVENT, pause_s=0.3, within_s=3.0)
    assert statuses(received) == [100, 200]


@DOORS
async def test_http_1_0_and_close(service: IngestService, path: bytes) -> None:
    old = sized(EVENT, path=path).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert statuses(await talk(service, old)) == [200]
    assert b"connection: close" in await talk(service, sized(EVENT, b"Connection: close", path=path))


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (gzip.compress(b"\0" * (64 << 20)), b"gzip", 413, b"ratio_too_high"),
        (gzip.compress(gzip.compress(b"\0" * (1 << 20))), b"gzip", 400, b"undecodable_body"),
        (b"[" * 200_000, b"identity", 400, b"undecodable_body"),
        (b'{"a":' * 150_000, b"identity", 400, b"undecodable_body"),
        (b"[" + b"1," * 500_000 + b"1]", b"identity", 413, b"too_many_events"),
        (gzip.compress(b"[" + b"1," * 2_000_000 + b"1]", 1), b"gzip", 413, b""),
    ],
    ids=["zeros", "twice", "brackets", "objects", "numbers", "numbers-gzip"],
)
async def test_bombs(service: IngestService, body: bytes, headers: bytes, status: int, code: bytes) -> None:
    received = await talk(service, sized(body, b"Content-Encoding: " + headers))
    assert statuses(received) == [status]
    assert code in received
    await assert_good_traffic(service)


async def test_bombs_leave_memory_alone(ingest_stack: LocalStack) -> None:
    bomb = sized(gzip.compress(b"[" + b"1," * 2_000_000 + b"1]", 1), b"Content-Encoding: gzip")
    async with ingest_service(ingest_stack) as service:
        await assert_good_traffic(service)
        before = resident_bytes(service)
        for _ in range(30):
            await talk(service, bomb)
        assert resident_bytes(service) - before < 64 << 20


def resident_bytes(service: IngestService) -> int:
    statm = Path(f"/proc/{service.process.pid}/statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * 4096


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/batch", 405),
        ("PUT", "/v1/events", 405),
        ("OPTIONS", "/v1/import/a@1", 405),
        ("POST", "/v1/nothing", 404),
        ("POST", "/v1/import/", 404),
        ("GET", "/etc/passwd", 404),
        ("POST", "/livez", 405),
        ("POST", "/v1/events", 200),
        ("GET", "/", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/openapi.json", 200),
    ],
)
async def test_paths(service: IngestService, method: str, path: str, status: int) -> None:
    async with service.client() as client:
        answer = await client.request(method, path, content=EVENT if method == "POST" else None)
    assert answer.status_code == status
    assert "server" not in answer.headers
    assert "date" not in answer.headers
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["fix"]
