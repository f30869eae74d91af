"""An S3 server that answers with errors for a while: plain requests outlast it, deadlines bound them, conditions are sent once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from headrace_runtime.errors_store import StoreUnavailable, StoreUnknown
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings

_BODY = b"as it was before"
_OUTAGE_S = 3.0
"""As long as a server takes to start; six quick repeats end well before it."""


class _Handler(BaseHTTPRequestHandler):
    """500 until the outage of the server is over, then the same object under each key."""

    server: _FailingServer

    def do_GET(self) -> None:
        self._answer(_BODY)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.server.requests += 1
        over = self.server.over_at is not None and time.monotonic() >= self.server.over_at
        self.send_response(200 if over else 500)
        self.send_header("content-length", str(len(body) if over else 0))
        self.send_header("etag", '"1"')
        self.send_header("last-modified", "Tue, 24 Nov 2026 08:00:00 GMT")
        self.end_headers()
        self.wfile.write(body if over else b"")

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class _FailingServer(ThreadingHTTPServer):
    over_at: float | None = None
    """When it works again, by the monotonic clock; None is never."""
    requests = 0

    @property
    def store(self) -> S3ObjectStore:
        """A store on this server."""
        return S3ObjectStore.from_settings(
            StoreSettings.model_validate(
                {
                    "s3_bucket": "bucket",
                    "s3_endpoint": f"http://127.0.0.1:{self.server_address[1]}",
                    "s3_region": "us-east-1",
                    "s3_access_key_id": SecretStr("key"),
                    "s3_secret_access_key": SecretStr("secret"),
                }
            )
        )


@contextmanager
def _failing() -> Iterator[_FailingServer]:
    with _FailingServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


async def test_plain_requests_outlast_a_short_outage() -> None:
    with _failing() as server:
        server.over_at = time.monotonic() + _OUTAGE_S
        assert await server.store.get("a/key", deadline_s=60.0) == _BODY
        server.over_at = time.monotonic() + _OUTAGE_S
        await server.store.put("a/key", b"new", deadline_s=60.0)


async def test_the_deadline_of_the_call_bounds_the_repeats() -> None:
    with _failing() as server:
        with pytest.raises(StoreUnavailable, match="did not answer") as caught:
            await server.store.get("a/key", deadline_s=0.5)
        assert caught.value.why == "No answer within 0.5 s."
        assert server.requests >= 1


async def test_a_long_outage_is_told_with_its_cause_before_a_long_deadline() -> None:
    with _failing() as server:
        with pytest.raises(StoreUnavailable, match="did not answer") as caught:
            await server.store.get("a/key", deadline_s=300.0)
        assert "500" in caught.value.why
        assert server.requests > 1


async def test_a_conditional_write_is_sent_once() -> None:
    with _failing() as server:
        with pytest.raises(StoreUnknown):
            await server.store.put_if_absent("a/key", b"new", deadline_s=60.0)
        assert server.requests == 1
