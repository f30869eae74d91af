"""Hostile events, and the dialect that reads them.

Eight ids shared by two sources; copies, copies with other content, copies whose event time moved over midnight (never by
more than a day, that is the stated limit; none without ``moves``), and events that only one version of the rules takes for good.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import msgspec

from headrace_core.events import SCHEMA_VERSION, CleanEvent
from headrace_core.keys import content_of, dedup_id, fingerprint
from headrace_core.reasons import Reason

__all__ = ["DAY_MS", "SimulatedEvent", "Traffic", "clean_event", "decode_event", "identity_of", "read_event"]

DAY_MS = 86_400_000
_VALIDITY = ((0, 99), (0, 99), (0, 99), (0, 99), (99, 99), (2, 99), (2, 99), (0, 1))
"""Versions of the rules under which an event is good: mostly all, none, only the new one, only the old one."""


class SimulatedEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a client sends. `good_from`/`good_until`: the versions of the rules under which it can be normalised."""

    source: str
    id: str
    day: int
    """Event date in days since 1970."""
    body: int
    """Its content: copies have the same."""
    good_from: int = 0
    good_until: int = 99
    user: str = ""
    """Whose it is; of nobody else's than its id where empty."""

    @property
    def user_id(self) -> str:
        """Who sent it."""
        return self.user or self.id


encode_event = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SimulatedEvent).decode


@lru_cache(maxsize=4096)
def decode_event(value: bytes) -> SimulatedEvent:
    """The event of a raw record's bytes."""
    return _decode(value)


@lru_cache(maxsize=4096)
def identity_of(source: str, identifier: str) -> bytes:
    """The dedup id, as the project computes it."""
    return dedup_id(source, identifier)


@lru_cache(maxsize=4096)
def read_event(value: bytes, rules_version: int) -> tuple[bytes, int, Reason]:
    """Dedup id, fingerprint and reason of a raw record under one version of the rules."""
    event = decode_event(value)
    good = event.good_from <= rules_version <= event.good_until
    return (
        identity_of(event.source, event.id),
        fingerprint(content_of((event.id, str(event.body)))),
        Reason.NONE if good else Reason.MISSING_FIELD,
    )


def clean_event(value: bytes, rules_version: int, partition: int, offset: int) -> CleanEvent:
    """The row of a good raw record. Everything but the position and the version is a function of the bytes."""
    event = decode_event(value)
    event_us = event.day * DAY_MS * 1000 + 3_600_000_000
    return CleanEvent(
        dedup_id=identity_of(event.source, event.id).hex(),
        event_id=event.id,
        id_source="client",
        source=event.source,
        dialect="native",
        event_type="identify" if _ties(event) else "track",
        event_name="simulated",
        event_ts=event_us,
        received_ts=event_us,
        ts_quality="exact",
        user_id=event.user_id,
        anonymous_id=f"a-{event.id}-{event.body}",
        user_key=f"u:{event.user_id}",
        identity_status="resolved",
        properties=msgspec.Raw(b'{"body":%d,"day":%d}' % (event.body, event.day)),
        schema_version=SCHEMA_VERSION,
        rules_version=rules_version,
        src_partition=partition,
        src_offset=offset,
    )


def _ties(event: SimulatedEvent) -> bool:
    """Every other id is one of events that tie an anonymous id to it."""
    return int(event.id[1:]) % 2 == 0


class Traffic:
    """Draws the bytes of events. Each (source, id) has one event date and one validity for the whole run."""

    def __init__(
        self,
        rng: Random,
        *,
        ids: int = 8,
        rules: bool = True,
        moves: bool = True,
        users: int = 0,
        days_back: int = 0,
    ) -> None:
        self._rng, self._ids, self._rules, self._moves = rng, ids, rules, moves
        self._users, self._days_back = users, days_back
        self._traits: dict[tuple[str, str], SimulatedEvent] = {}

    def draw(self, now_ms: int) -> SimulatedEvent:
        """One event, new or again."""
        rng = self._rng
        source, identifier = rng.choice("ab"), f"e{rng.randrange(self._ids)}"
        event = self._traits.get((source, identifier))
        if event is None:
            back = rng.randrange(self._days_back) if self._days_back else rng.choice((0, 0, 0, 1))
            event = self._first(source, identifier, now_ms // DAY_MS - back)
            self._traits[source, identifier] = event
        chance = rng.random()
        if chance < 0.08:
            return msgspec.structs.replace(event, body=event.body + 1)
        if chance < 0.20 and self._moves:
            return msgspec.structs.replace(event, day=event.day + 1)
        return event

    def _first(self, source: str, identifier: str, day: int) -> SimulatedEvent:
        good_from, good_until = self._rng.choice(_VALIDITY if self._rules else _VALIDITY[:5])
        return SimulatedEvent(
            source=source,
            id=identifier,
            day=day,
            body=10,
            good_from=good_from,
            good_until=good_until,
            user=f"e{int(identifier[1:]) % self._users}" if self._users else "",
        )
