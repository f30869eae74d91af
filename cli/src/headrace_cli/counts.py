"""The counts of an installation as its inspection API tells them, and whether they are what a sender journaled."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from headrace_cli.journal import Journal
from headrace_cli.traffic import Fate
from headrace_core.errors import Unavailable

__all__ = ["Comparison", "CountsClient", "CountsView", "compare"]


class CountsView(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line reads of /v1/counts."""

    totals: dict[str, int]
    in_flight: dict[str, int]
    quarantine_reasons: dict[str, int]
    warehouse: dict[str, Any]
    checks: list[dict[str, Any]]
    reconciles: bool
    settled: bool


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the summary: what the sender journaled and what the installation counted."""

    name: str
    journaled: int
    counted: int

    @property
    def equal(self) -> bool:
        """Whether both agree."""
        return self.journaled == self.counted


class CountsClient:
    """Reads /v1/counts."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def read(self) -> CountsView:
        """The counts now. Unavailable where the API does not answer."""
        try:
            answer = await self._client.get("/v1/counts", params={"minutes": 1})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(
                "The inspection API did not give its counts.",
                why=repr(error),
                fix="See the log of the api service.",
                code="api_unavailable",
            ) from error
        return msgspec.json.decode(answer.content, type=CountsView)


def compare(journal: Journal, before: CountsView, after: CountsView) -> list[Comparison]:
    """The journal against what was counted since ``before``.

    A request that was sent again may have added duplicates that the sender cannot know of; then only what is certain is
    compared: what was accepted and what was quarantined are the same whatever was repeated.
    """

    def gained(name: str) -> int:
        return after.totals[name] - before.totals[name]

    acknowledged = journal.acknowledged
    lines = [
        Comparison(name="accepted", journaled=acknowledged[Fate.ACCEPTED], counted=gained("accepted")),
        Comparison(name="loaded", journaled=acknowledged[Fate.ACCEPTED], counted=gained("loaded")),
    ]
    if not journal.repeated_requests:
        quarantined = gained("quarantined") + gained("refused")
        lines += [
            Comparison(name="duplicate", journaled=acknowledged[Fate.DUPLICATE], counted=gained("duplicate")),
            Comparison(name="quarantined", journaled=acknowledged[Fate.QUARANTINED], counted=quarantined),
            Comparison(
                name="all acknowledged",
                journaled=acknowledged.total(),
                counted=gained("received") + gained("refused"),
            ),
        ]
    return lines
