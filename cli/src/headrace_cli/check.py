"""``headrace check``: one event through an installation, from its HTTP answer to its row in the warehouse."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import msgspec

from headrace_core.errors import BadData, Unavailable

__all__ = ["Checked", "check_installation"]

_EVENT = {"name": "Headrace check", "type": "custom", "properties": {"purpose": "check"}}
_ANSWER_WITHIN_S = 10.0
_POLL_S = 0.5


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen: the receipt, and after how many seconds the event was acknowledged and was a row."""

    receipt: str
    acknowledged_s: float
    loaded_s: float


async def check_installation(
    ingest_url: str,
    api_url: str,
    key: str,
    *,
    within_s: float,
    transport: httpx.AsyncBaseTransport | None = None,
    poll_s: float = _POLL_S,
) -> Checked:
    """Send one event and wait until it is loaded.

    Raises Unavailable where a service does not answer or the event is not loaded in time, BadData where it was refused.
    """
    began = time.monotonic()
    last: list[str] = []
    async with httpx.AsyncClient(timeout=_ANSWER_WITHIN_S, transport=transport) as client:
        try:
            async with asyncio.timeout(within_s):
                receipt = await _send(client, f"{ingest_url.rstrip('/')}/v1/events", key)
                acknowledged_s = time.monotonic() - began
                followed = f"{api_url.rstrip('/')}/v1/events/{receipt}"
                while not await _loaded(client, followed, last):  # noqa: ASYNC110  (only the API tells)
                    await asyncio.sleep(poll_s)
        except TimeoutError:
            raise _too_late(within_s, last) from None
    return Checked(
        receipt=receipt,
        acknowledged_s=round(acknowledged_s, 3),
        loaded_s=round(time.monotonic() - began, 3),
    )


async def _send(client: httpx.AsyncClient, url: str, key: str) -> str:
    """The receipt of a new event."""
    try:
        answer = await client.post(url, json=_EVENT, auth=(key, ""))
    except httpx.TransportError as error:
        raise _silent(url, error) from error
    if answer.status_code != 200:
        raise BadData(
            "The event was not taken.",
            why=f"{url} answered {answer.status_code}: {answer.text[:500]}",
            fix="401: give a key of the installation's key file. 503: see /readyz of ingest, and Kafka.",
            code="check_refused",
        )
    receipt = answer.json()["receipts"][0]
    if receipt is None:
        raise BadData(
            "The event went to quarantine.",
            why=str(answer.json().get("rejected")),
            fix="Ingest and this command differ in version: use the same.",
            code="check_refused",
        )
    return str(receipt)


async def _loaded(client: httpx.AsyncClient, url: str, last: list[str]) -> bool:
    """Whether the event is a row; ``last`` becomes what every part says of it."""
    try:
        answer = await client.get(url)
    except httpx.TransportError as error:
        raise _silent(url, error) from error
    try:
        steps: list[dict[str, Any]] = answer.json().get("steps", [])
    except ValueError:  # a proxy's or a server's own page: ask again
        steps = []
    last[:] = [f"{step['name']}: {step['explanation']}" for step in steps]
    return any(step["name"] == "warehouse" and step["state"] == "done" for step in steps)


def _silent(url: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"{url} does not answer.",
        why=f"{type(error).__name__}: {error}",
        fix="Check the address, the network policy, and whether the pods are ready.",
        code="check_no_answer",
    )


def _too_late(within_s: float, last: list[str]) -> Unavailable:
    return Unavailable(
        f"The event was not a row after {within_s:.0f} s.",
        why=" ".join(last) or "The inspection API knows nothing of it.",
        fix="The first step that is not done names the service to look at.",
        code="check_not_loaded",
    )
