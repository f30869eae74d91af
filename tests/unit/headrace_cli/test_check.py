"""One event followed from its answer to its row, against services that answer as told."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from headrace_cli.check import Checked, check_installation
from headrace_core.errors import BadData, Unavailable

_Answer = Callable[[httpx.Request], httpx.Response]


def _step(name: str, state: str) -> dict[str, str]:
    return {"name": name, "state": state, "explanation": f"{name} is {state}."}


def _services(*looks: list[dict[str, str]] | int, sent: int = 200) -> _Answer:
    """Ingest answers ``sent``; each look at the API gets the next of ``looks`` (steps, or a status), the last for ever."""
    left = list(looks)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert json.loads(request.content)["name"] == "Headrace check"
            assert request.headers["authorization"].startswith("Basic ")
            return httpx.Response(sent, json={"receipts": ["2-7"]})
        assert request.url.path == "/v1/events/2-7"
        look = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(look) if isinstance(look, int) else httpx.Response(200, json={"steps": look})

    return answer


async def _check(answer: _Answer, within_s: float = 5.0) -> Checked:
    return await check_installation(
        "http://ingest/",
        "http://api",
        "key",
        within_s=within_s,
        transport=httpx.MockTransport(answer),
        poll_s=0.001,
    )


async def test_an_event_is_followed_until_it_is_a_row() -> None:
    found = await _check(_services(404, 503, [_step("raw", "done")], [_step("warehouse", "done")]))
    assert found.receipt == "2-7"
    assert 0 <= found.acknowledged_s <= found.loaded_s


async def test_who_waits_too_long_learns_where_the_event_is() -> None:
    with pytest.raises(Unavailable) as caught:
        await _check(_services([_step("raw", "done"), _step("warehouse", "waiting")]), within_s=0.2)
    assert "warehouse is waiting" in caught.value.why


async def test_a_refusal_says_what_ingest_said() -> None:
    with pytest.raises(BadData) as caught:
        await _check(_services(404, sent=401))
    assert "401" in caught.value.why


async def test_a_service_that_does_not_answer_is_named() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unavailable, match="http://ingest/v1/events"):
        await _check(refuse)
