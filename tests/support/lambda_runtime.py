"""The AWS Lambda Runtime API on loopback: what the official runtime client talks to inside a function."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Function", "running_function"]

_ARN = "arn:aws:lambda:us-east-1:123456789012:function:headrace"
_ANSWER_WITHIN_S = 60.0


class Function:
    """One function: hand an event to it and take its result."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.events: queue.Queue[dict[str, Any]] = queue.Queue(maxsize=16)
        self.results: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=16)

    def invoke(self, event: dict[str, Any]) -> Any:
        """The result of one invocation; AssertionError with the function's error where it failed."""
        kind, result = self.attempt(event)
        assert kind == "response", result
        return result

    def attempt(self, event: dict[str, Any]) -> tuple[str, Any]:
        """('response', result) or ('error', what the function said)."""
        self.events.put(event, timeout=5)
        return self.results.get(timeout=_ANSWER_WITHIN_S)


def _server(function: Function) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """Next invocation."""
            try:
                event = function.events.get(timeout=30)
            except queue.Empty:
                self.close_connection = True
                return
            body = json.dumps(event).encode()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
            self.send_header(
                "Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=0;Sampled=0"
            )
            self.send_header("Lambda-Runtime-Client-Context", "")
            self.send_header("Lambda-Runtime-Cognito-Identity", "")
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", _ARN)
            self.send_header(
                "Lambda-Runtime-Deadline-Ms", str(int((time.time() + function.timeout_s) * 1000))
            )
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            """Result or error of an invocation, or of the start."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.path.rsplit("/", 1)[-1]
            function.results.put((kind, json.loads(body)), timeout=5)
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@contextmanager
def running_function(
    handler: str, environment: Mapping[str, str], log: Path, *, timeout_s: float = 30.0
) -> Iterator[Function]:
    """The official runtime client serving ``handler`` (module.function) in a process of its own."""
    function = Function(timeout_s)
    server = _server(function)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            env={
                **os.environ,
                **environment,
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_address[1]}",
            },
            stdout=output,
            stderr=output,
        )
    try:
        yield function
    finally:
        process.kill()
        process.wait(timeout=10)
        server.shutdown()
        serving.join(timeout=10)
        server.server_close()
