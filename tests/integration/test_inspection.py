"""An event that was sent is seen, counted and followed through every part; so are a duplicate, a conflict and a bad one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import httpx
import pytest
from tests.support.installations import running, settled_counts

from headrace_local.installation import Installation

__all__ = ["running"]

pytestmark = [pytest.mark.xdist_group("inspection"), pytest.mark.stack, pytest.mark.timeout(600)]

_GOOD = {"id": "order-1", "name": "Order Completed", "time": "2026-11-24T10:00:00+02:00", "user_id": "42"}


async def _send(installation: Installation, *events: dict[str, Any]) -> list[str | None]:
    """Send native events; their receipts."""
    auth = (installation.write_key("shop"), "")
    async with httpx.AsyncClient(base_url=installation.ingest_url, auth=auth, timeout=10.0) as client:
        answer = await client.post("/v1/events", json=list(events))
    assert answer.status_code == 200, answer.text
    receipts: list[str | None] = answer.json()["receipts"]
    return receipts


async def _follow(installation: Installation, identifier: str, until: str) -> dict[str, Any]:
    """The X-ray once its step ``until`` is done."""
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(base_url=installation.api_url, timeout=30.0) as client:
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/events/{identifier}")).json()
            states = {step["name"]: step["state"] for step in found["steps"]}
            if states.get(until) == "done":
                return found
            assert time.monotonic() < deadline, (states, found["explanation"])
            await asyncio.sleep(0.3)


async def test_the_doctor_finds_a_running_installation_well(running: Installation) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace_cli", "doctor", "--json", "--root", str(running.root)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    findings = {finding["name"]: finding for finding in json.loads(out)}
    assert [finding for finding in findings.values() if not finding["ok"]] == []
    assert process.returncode == 0
    assert findings["warehouse"]["what"].startswith("migrated to ")
    assert set(running.ports) <= set(findings)


def _step(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in found["steps"] if step["name"] == name)


async def test_an_event_is_followed_from_its_request_to_its_row(running: Installation) -> None:
    (receipt,) = await _send(running, _GOOD)
    assert receipt is not None
    by_receipt = await _follow(running, receipt, "warehouse")
    assert [step["name"] for step in by_receipt["steps"]] == [
        "raw",
        "verdict",
        "clean",
        "file",
        "ledger",
        "warehouse",
    ]
    assert all(step["state"] == "done" for step in by_receipt["steps"])
    raw = _step(by_receipt, "raw")["facts"]
    assert raw["event"].startswith('{"id":"order-1"')
    assert raw["request"]["source"] == "shop"
    row = _step(by_receipt, "warehouse")["facts"]["row"]
    assert (row["event_id"], row["user_key"], row["event_ts"]) == (
        "order-1",
        "u:42",
        "2026-11-24T08:00:00+00:00",
    )
    (ledger,) = _step(by_receipt, "ledger")["facts"]["files"]
    assert ledger["file_id"] == row["file_id"]

    for identifier in ("order-1", raw["dedup_id"]):
        again = await _follow(running, identifier, "warehouse")
        assert _step(again, "raw")["facts"]["offset"] == raw["offset"]


async def test_a_duplicate_and_a_conflict_point_to_the_accepted_record(running: Installation) -> None:
    first = _GOOD | {"id": "order-2"}
    (original,) = await _send(running, first)
    await _follow(running, str(original), "verdict")
    duplicate, conflict = await _send(running, first, first | {"user_id": "43"})
    offset = int(str(original).split("-")[1])

    found = await _follow(running, str(duplicate), "verdict")
    assert (
        _step(found, "verdict")["facts"] | {"verdict": "duplicate", "first_offset": offset}
        == _step(found, "verdict")["facts"]
    )
    found = await _follow(running, str(conflict), "quarantine")
    assert _step(found, "verdict")["facts"]["reason"] == "id_conflict"
    assert f"offset {offset}" in _step(found, "verdict")["explanation"]
    assert [entry["verdict"] for entry in found["appearances"]] == ["accepted", "duplicate", "quarantined"]
    main = await _follow(running, "order-2", "verdict")
    assert _step(main, "verdict")["facts"]["verdict"] == "accepted"


async def test_a_bad_event_is_counted_and_its_neighbours_arrive(running: Installation) -> None:
    before = await settled_counts(running)
    receipts = await _send(
        running, _GOOD | {"id": "a"}, {"id": "b", "type": "purchase"}, _GOOD | {"id": "c", "time": "never"}
    )
    assert [receipt is None for receipt in receipts] == [False, True, False]
    after = await settled_counts(running)
    gained = {name: after["totals"][name] - before["totals"][name] for name in after["totals"]}
    assert gained == {
        "received": 2,
        "accepted": 1,
        "duplicate": 0,
        "quarantined": 1,
        "refused": 1,
        "staged": 1,
        "loaded": 1,
    }
    assert after["reconciles"]
    assert after["quarantine_reasons"]["unknown_event_type"] >= 1
    assert after["quarantine_reasons"]["invalid_time"] >= 1


async def test_what_was_never_sent_is_not_found_and_the_answer_says_where_was_looked(
    running: Installation,
) -> None:
    await _send(running, _GOOD | {"id": "order-3"})
    async with httpx.AsyncClient(base_url=running.api_url, timeout=30.0) as client:
        for identifier in ("no-such-order", "3-999999", "f" * 32):
            answer = await client.get(f"/v1/events/{identifier}")
            assert answer.status_code == 404
            assert answer.json()["found"] is False
            assert "No event with this id" in answer.json()["explanation"]


async def test_the_console_is_a_page_of_its_own_files(running: Installation) -> None:
    async with httpx.AsyncClient(base_url=running.api_url, timeout=10.0) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "script-src" not in page.headers["content-security-policy"]
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for asset in ("/static/console.js", "/static/console.css"):
            assert asset in page.text
            assert (await client.get(asset)).status_code == 200
        for path in ("/static/console.html", "/static/..%2fapp.py", "/static/none.js"):
            assert (await client.get(path)).status_code == 404
        (receipt,) = await _send(running, _GOOD | {"id": "order-4"})
        await _follow(running, str(receipt), "verdict")
        live = (await client.get("/v1/live")).json()
        assert {"receipt", "verdict", "excerpt", "source"} <= live[0].keys()
        metrics = (await client.get("/metrics")).text
        assert 'headrace_api_requests_total{route="live",status="200"}' in metrics
