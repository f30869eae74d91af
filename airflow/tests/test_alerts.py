"""Alerts reach a webhook; one that is away fails no task's callback."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from conftest import ROOT
from headrace_alerts import deadline_near, task_failed

_FAILED = {
    "task_instance": SimpleNamespace(dag_id="headrace_daily", task_id="daily", run_id="r1", try_number=2)
}


@contextmanager
def _webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server on a free port; the texts that it got."""
    texts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HEADRACE_ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
    try:
        yield texts
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_a_late_day_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with _webhook(monkeypatch) as texts:
        asyncio.run(deadline_near(context={"dag_run": {"dag_id": "headrace_daily"}}))
    [text] = texts
    assert "headrace_daily" in text
    assert "08:00" in text
    page = re.search(r"runbook ([a-z-]+)", text)
    assert page, "an alert names its runbook"
    assert (ROOT.parent / "docs" / "runbooks" / f"{page[1]}.md").is_file()


def test_a_failed_task_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with _webhook(monkeypatch) as texts:
        task_failed(_FAILED)
    [text] = texts
    assert "headrace_daily.daily failed (run r1, try 2)" in text


def test_a_webhook_that_is_away_fails_no_callback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEADRACE_ALERT_WEBHOOK", "http://127.0.0.1:9/hook")
    task_failed(_FAILED)
    assert "could not be sent" in caplog.text


def test_without_a_webhook_the_log_says_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HEADRACE_ALERT_WEBHOOK", raising=False)
    task_failed(_FAILED)
    assert "headrace_daily.daily failed" in caplog.text
