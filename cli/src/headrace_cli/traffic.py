"""Seeded traffic that looks like a real customer's: what it will become is known before it is sent.

Of all events about 15 % repeat an earlier one, 3 % carry an incomplete user id, 0.4 % are broken in one of several ways,
and a few reuse an id for other content. Times come in many zones and spellings, cluster in two peaks a day, and arrive
late and out of order. Pure: the same seed, count and time give the same bytes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["Channel", "Fate", "TrafficEvent", "generate"]

_DUPLICATE_SHARE = 0.15
_INCOMPLETE_SHARE = 0.03
_BROKEN_SHARE = 0.004
_CONFLICT_SHARE = 0.0005
_LATE_SHARE = 0.02
_RECENT = 20_000
"""How many earlier events a repeat is drawn from."""
_SETTLED = 2_000
"""An id is reused for other content only this many events later, when the first use is surely acknowledged."""

_HOUR_WEIGHTS = [2, 1, 1, 1, 2, 4, 8, 22, 24, 12, 8, 8, 9, 12, 24, 24, 12, 8, 8, 8, 7, 5, 4, 3]
_ZONES = [timezone(timedelta(minutes=minutes)) for minutes in (0, 60, 120, -300, -480, 330, 540)]
_INCOMPLETE_IDS = ["", " ", "null", "undefined", None]
_PRODUCTS = [
    "Lantern",
    "Tea Towel",
    "Heart Holder",
    "Jam Jar",
    "Bunting",
    "Alarm Clock",
    "Cake Stand",
    "Doormat",
]
_PAGES = ["/", "/search", "/category/home", "/category/garden", "/product", "/cart", "/checkout", "/account"]
_REFERRERS = ["https://www.google.com/", "https://news.example.org/", "https://www.facebook.com/", "", ""]
_NAMES = [
    "Product Viewed",
    "Product Added",
    "Order Completed",
    "Checkout Started",
    "Search Performed",
    "Signed In",
]
_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

_encode = msgspec.json.encode


class Channel(StrEnum):
    """The way an event is sent."""

    NATIVE = "native"
    SEGMENT = "segment"
    SDK = "sdk"


class Fate(StrEnum):
    """What becomes of an event that is acknowledged."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class TrafficEvent:
    """One event to send. ``fields`` is set for the SDK channel alone, which serialises by itself."""

    channel: Channel
    fate: Fate
    body: bytes
    fields: dict[str, Any] | None = None


def generate(*, seed: int, events: int, until_ms: int, sdk_share: float = 0.02) -> Iterator[TrafficEvent]:
    """``events`` events whose own times lie in the day before ``until_ms`` (late ones up to two days before that)."""
    chance = random.Random(seed)  # noqa: S311  (repeatable on purpose, and no secret)
    recent: deque[TrafficEvent] = deque(maxlen=_RECENT)
    for number in range(events):
        lot = chance.random()
        if recent and lot < _DUPLICATE_SHARE:
            original = chance.choice(recent)
            yield TrafficEvent(original.channel, Fate.DUPLICATE, original.body, original.fields)
        elif lot < _DUPLICATE_SHARE + _BROKEN_SHARE:
            yield TrafficEvent(Channel.NATIVE, Fate.QUARANTINED, _broken(chance, number))
        elif len(recent) > _SETTLED and lot < _DUPLICATE_SHARE + _BROKEN_SHARE + _CONFLICT_SHARE:
            yield _conflict(chance, recent)
        else:
            event = _event(chance, seed, number, until_ms, sdk_share)
            recent.append(event)
            yield event


def _event(chance: random.Random, seed: int, number: int, until_ms: int, sdk_share: float) -> TrafficEvent:
    lot = chance.random()
    when = _event_time(chance, until_ms)
    event_id = f"{seed:x}-{number:x}-{chance.getrandbits(64):016x}"
    if lot < sdk_share:
        fields = _sdk_fields(chance, event_id, when)
        return TrafficEvent(Channel.SDK, Fate.ACCEPTED, b"", fields)
    if lot < 0.5:
        return TrafficEvent(Channel.SEGMENT, Fate.ACCEPTED, _encode(_segment(chance, event_id, when)))
    return TrafficEvent(Channel.NATIVE, Fate.ACCEPTED, _encode(_native(chance, event_id, when)))


def _event_time(chance: random.Random, until_ms: int) -> datetime:
    """A time within the last day with its two peaks; a few are late by up to two more days."""
    until = datetime.fromtimestamp(until_ms / 1000, UTC)
    hour = chance.choices(range(24), _HOUR_WEIGHTS)[0]
    day = until.replace(hour=hour, minute=0, second=0, microsecond=0)
    when = day + timedelta(milliseconds=chance.randrange(3_600_000))
    if when > until:
        when -= timedelta(days=1)
    if chance.random() < _LATE_SHARE:
        when -= timedelta(hours=chance.randrange(1, 48))
    return when


def _spelled(chance: random.Random, when: datetime) -> str | int:
    """The same instant as clients spell it: with Z, with an offset, or as epoch milliseconds."""
    lot = chance.random()
    if lot < 0.5:
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if lot < 0.9:
        return when.astimezone(chance.choice(_ZONES)).isoformat(timespec="milliseconds")
    return int(when.timestamp() * 1000)


def _user(chance: random.Random) -> str | None:
    if chance.random() < _INCOMPLETE_SHARE:
        return chance.choice(_INCOMPLETE_IDS)
    return f"user-{chance.randrange(50_000):05d}"


def _properties(chance: random.Random) -> dict[str, Any]:
    products = [
        {
            "product_id": f"{chance.getrandbits(64):016x}",
            "sku": f"SKU-{chance.randrange(100_000):05d}",
            "name": chance.choice(_PRODUCTS),
            "price": chance.randrange(50, 20_000) / 100,
            "quantity": chance.randrange(1, 5),
            "category": chance.choice(_PAGES),
        }
        for _ in range(5)
    ]
    return {
        "order_id": f"{chance.getrandbits(64):016x}",
        "revenue": chance.randrange(100, 50_000) / 100,
        "currency": chance.choice(["USD", "EUR", "GBP", "JPY"]),
        "coupon": chance.choice(["", "WELCOME", "SPRING"]),
        "products": products,
        "note": " ".join(chance.choice(_PRODUCTS) for _ in range(24)),
    }


def _context(chance: random.Random) -> dict[str, Any]:
    path = chance.choice(_PAGES)
    return {
        "ip": f"203.0.113.{chance.randrange(256)}",
        "locale": chance.choice(["en-GB", "de-DE", "ja-JP"]),
        "userAgent": _AGENT,
        "library": {"name": "analytics.js", "version": f"4.{chance.randrange(9)}.0"},
        "page": {
            "path": path,
            "url": f"https://shop.example.com{path}?item={chance.randrange(10**6)}",
            "title": chance.choice(_PRODUCTS),
            "referrer": chance.choice(_REFERRERS),
        },
        "campaign": {"source": "newsletter", "medium": "email", "name": chance.choice(["spring", "summer"])},
        "screen": {"width": 1920, "height": 1080, "density": 2},
        "device": {
            "id": f"{chance.getrandbits(128):032x}",
            "type": chance.choice(["desktop", "mobile", "tablet"]),
        },
        "session_id": f"{chance.getrandbits(48):012x}",
    }


def _native(chance: random.Random, event_id: str, when: datetime) -> dict[str, Any]:
    return {
        "id": event_id,
        "type": "track",
        "name": chance.choice(_NAMES),
        "time": _spelled(chance, when),
        "user_id": _user(chance),
        "anonymous_id": f"anon-{chance.getrandbits(64):016x}",
        "properties": _properties(chance),
        "context": _context(chance),
    }


def _segment(chance: random.Random, event_id: str, when: datetime) -> dict[str, Any]:
    event: dict[str, Any] = {
        "messageId": event_id,
        "timestamp": _iso(chance, when),
        "userId": _user(chance),
        "anonymousId": f"anon-{chance.getrandbits(64):016x}",
        "context": _context(chance),
        "integrations": {},
    }
    kind = chance.choices(["track", "page", "identify"], [8, 3, 1])[0]
    event["type"] = kind
    if kind == "track":
        return event | {"event": chance.choice(_NAMES), "properties": _properties(chance)}
    if kind == "page":
        return event | {"name": chance.choice(_PAGES), "properties": _properties(chance)}
    return event | {"traits": {"plan": chance.choice(["free", "paid"]), "logins": chance.randrange(100)}}


def _iso(chance: random.Random, when: datetime) -> str:
    return when.astimezone(chance.choice(_ZONES)).isoformat(timespec="milliseconds")


def _sdk_fields(chance: random.Random, event_id: str, when: datetime) -> dict[str, Any]:
    """Arguments of the Segment library's ``track``."""
    return {
        "user_id": f"user-{chance.randrange(50_000):05d}",
        "event": chance.choice(_NAMES),
        "properties": _properties(chance),
        "context": _context(chance),
        "timestamp": when,
        "message_id": event_id,
    }


def _broken(chance: random.Random, number: int) -> bytes:
    """An event that a person has to repair; each of these ends in quarantine with a reason of its own."""
    name = f'"id":"broken-{number}-{chance.getrandbits(32):08x}","name":"Order Completed"'
    bodies = [
        f'{{{name},"type":"purchase"}}',
        f'{{{name},"user_id":["a","b"]}}',
        f'{{{name},"properties":"none"}}',
        f'{{{name},"time":"yesterday at noon"}}',
        f'{{{name},"properties":{{"note":"a\\u0000b"}}}}',
        f'{{{name},"properties":{{"note":"\\ud83d alone"}}}}',
        f'{{{name},"properties":{{"deep":{"[" * 80}{"]" * 80}}}}}',
        f'{{"id":"broken-{number}","type":"track"}}',
    ]
    return chance.choice(bodies).encode()


def _conflict(chance: random.Random, recent: deque[TrafficEvent]) -> TrafficEvent:
    """Another event under an id that was used before: only one of the two can be accepted."""
    original = recent[chance.randrange(len(recent) - _SETTLED)]
    if original.channel is not Channel.NATIVE:
        return TrafficEvent(original.channel, Fate.DUPLICATE, original.body, original.fields)
    fields = msgspec.json.decode(original.body)
    fields["properties"] = {"correction": chance.getrandbits(32)}
    return TrafficEvent(Channel.NATIVE, Fate.QUARANTINED, _encode(fields))
