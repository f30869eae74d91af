"""Sends events the way their owners would: native JSON and Segment batches over HTTP, and the official Segment library."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from segment.analytics.client import Client as SegmentClient

from headrace_cli.journal import Journal
from headrace_cli.traffic import Channel, Fate, TrafficEvent
from headrace_core.errors import BadData, Unavailable

__all__ = ["HttpSender", "SegmentLibrarySender", "batches"]

_BATCH_EVENTS = 100
_ATTEMPTS = 60
_RETRY_WAIT_S = 1.0
_REQUEST_TIMEOUT_S = 30.0
_GZIP_EVERY = 4


def batches(
    events: Iterable[TrafficEvent], size: int = _BATCH_EVENTS
) -> Iterator[tuple[Channel, list[TrafficEvent]]]:
    """Group events by channel into batches of ``size``, keeping their order within a channel."""
    waiting: dict[Channel, list[TrafficEvent]] = {channel: [] for channel in Channel}
    for event in events:
        batch = waiting[event.channel]
        batch.append(event)
        if len(batch) == size:
            yield event.channel, batch
            waiting[event.channel] = []
    for channel, batch in waiting.items():
        if batch:
            yield channel, batch


class HttpSender:
    """Posts batches until they are acknowledged: an unknown outcome is sent again, as every good client does."""

    def __init__(self, client: httpx.AsyncClient, journal: Journal) -> None:
        self._client = client
        self._journal = journal
        self._sent = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, base_url: str, write_key: str, journal: Journal) -> AsyncIterator[HttpSender]:
        """A sender with its connections for the time of the context."""
        async with httpx.AsyncClient(
            base_url=base_url, auth=(write_key, ""), timeout=_REQUEST_TIMEOUT_S
        ) as client:
            yield cls(client, journal)

    async def send(self, channel: Channel, events: list[TrafficEvent]) -> None:
        """Send one batch; Unavailable when the service did not take it within a minute."""
        self._sent += 1
        request = f"{channel}-{self._sent}"
        fates = Counter(event.fate for event in events)
        path, body = _body(channel, events)
        headers = {"content-type": "application/json"}
        if self._sent % _GZIP_EVERY == 0:
            body, headers = gzip.compress(body, 1), headers | {"content-encoding": "gzip"}
        self._journal.intend(request, fates)
        await self._post(request, path, body, headers)
        self._journal.acknowledge(request, fates)

    async def _post(self, request: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        why = ""
        for _ in range(_ATTEMPTS):
            try:
                answer = await self._client.post(path, content=body, headers=headers)
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if answer.status_code == 200:
                    return
                why = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code < 429:
                    raise BadData("The ingest service refused a batch.", why=why, code="batch_refused")
            self._journal.repeat(request, why)
            await asyncio.sleep(_RETRY_WAIT_S)
        raise Unavailable(
            "The ingest service did not take a batch within a minute.",
            why=why,
            fix="See what /readyz of the service says.",
            code="ingest_unavailable",
        )


def _body(channel: Channel, events: list[TrafficEvent]) -> tuple[str, bytes]:
    joined = b",".join([event.body for event in events])
    if channel is Channel.NATIVE:
        return "/v1/events", b"[" + joined + b"]"
    sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").encode()
    return "/v1/batch", b'{"batch":[' + joined + b'],"sentAt":"' + sent_at + b'"}'


class SegmentLibrarySender:
    """The official Segment library, pointed at Headrace by its host setting alone."""

    def __init__(self, base_url: str, write_key: str, journal: Journal) -> None:
        self._errors: list[str] = []
        self._journal = journal
        self._batches = 0
        logging.getLogger("segment").setLevel(logging.CRITICAL)
        self._client = SegmentClient(
            write_key, host=base_url, on_error=self._note, max_queue_size=100_000, timeout=30, max_retries=20
        )

    def _note(self, error: Exception, _batch: list[dict[str, Any]]) -> None:
        self._errors.append(str(error))

    def send(self, events: list[TrafficEvent]) -> None:
        """Hand events to the library and wait until it has delivered them."""
        self._batches += 1
        fates: Counter[Fate] = Counter(event.fate for event in events)
        request = f"{Channel.SDK}-{self._batches}"
        self._journal.intend(request, fates)
        for event in events:
            assert event.fields is not None
            self._client.track(**event.fields)
        self._client.flush()
        if self._errors:
            raise Unavailable("The Segment library could not deliver its events.", why=self._errors[0])
        self._journal.acknowledge(request, fates)

    def close(self) -> None:
        """Stop the library's threads."""
        self._client.join()
