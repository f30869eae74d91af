"""The measured event: a generated Segment-like call of about 2,005 bytes, thousands of different ones from one seed.

Every round of a figure gets events that were never sent before: an id, a time and a user of their own on one of
DISTINCT_BODIES bodies, and REPEATS of all places taken by an exact repeat of an earlier event of the same round.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

__all__ = [
    "BEGIN",
    "DISTINCT_BODIES",
    "EVENT_BYTES",
    "REPEATS",
    "SECOND_EVENTS",
    "Traffic",
    "native_events",
]

EVENT_BYTES = 2005
DISTINCT_BODIES = 6_000
REPEATS = 0.15
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
"""Time of the first event of all."""
SECOND_EVENTS = 1_000
"""Events per second of their own clock."""

_WORDS = [
    "checkout",
    "cart",
    "wishlist",
    "coupon",
    "promo",
    "banner",
    "hero",
    "search",
    "filter",
    "facet",
    "sku",
    "variant",
    "colour",
    "size",
    "lantern",
    "towel",
]
_NAMES = ["Product Viewed", "Order Completed", "Page Viewed", "Cart Updated", "Signed Up", "Search Performed"]
_ID_END = len('{"id":"') + 36


def native_events(count: int, seed: int = 7) -> list[bytes]:
    """``count`` different native events, each of EVENT_BYTES bytes give or take a few."""
    chance = random.Random(seed)
    return [_event(chance, number) for number in range(count)]


class Traffic:
    """Endless seeded traffic. No event of one ``take`` comes in another."""

    def __init__(self, seed: int = 7, *, bodies: int = DISTINCT_BODIES, repeats: float = REPEATS) -> None:
        self._chance = random.Random(seed)
        self._repeats = repeats
        self._parts = [_parts(body) for body in native_events(bodies, seed)]
        self._number = 0

    def take(self, count: int) -> list[bytes]:
        """The next ``count`` events, repeats among them."""
        chance, events = self._chance, list[bytes]()
        for _ in range(count):
            repeated = events and chance.random() < self._repeats
            events.append(chance.choice(events) if repeated else self._fresh())
        return events

    def _fresh(self) -> bytes:
        chance, number = self._chance, self._number
        self._number += 1
        head, tail = self._parts[number % len(self._parts)]
        fields = f'{{"id":"{_uuid(chance)}{head}{_time_of(number)}","user_id":"{_user(chance)}'
        return fields.encode() + tail


def _parts(body: bytes) -> tuple[str, bytes]:
    """What stands between id and time, and what stands behind the user."""
    time_at = body.index(b'"time":"') + len(b'"time":"')
    user_at = body.index(b'"user_id":"') + len(b'"user_id":"user_00000000')
    return body[_ID_END:time_at].decode(), body[user_at:]


def _time_of(number: int) -> str:
    when = BEGIN + timedelta(milliseconds=number * 1000 / SECOND_EVENTS)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _user(chance: random.Random) -> str:
    return f"user_{chance.randrange(10**7):08d}"


def _uuid(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(words))


def _event(chance: random.Random, number: int) -> bytes:
    fields: dict[str, Any] = {
        "id": _uuid(chance),
        "type": "track",
        "name": chance.choice(_NAMES),
        "time": _time_of(number),
        "user_id": _user(chance),
        "anonymous_id": _uuid(chance),
        "context": {
            "ip": f"203.0.113.{chance.randrange(255)}",
            "locale": chance.choice(["en-US", "de-DE", "ja-JP"]),
            "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
            "library": {"name": "analytics.js", "version": f"4.{chance.randrange(9)}.{chance.randrange(9)}"},
            "page": {
                "path": f"/p/{_text(chance, 1)}",
                "referrer": f"https://www.example.com/{_text(chance, 1)}",
                "title": _text(chance, 4),
                "url": f"https://shop.example.com/p/{chance.randrange(10**6)}",
            },
            "screen": {
                "width": chance.choice([1920, 1440, 390]),
                "height": chance.choice([1080, 900, 844]),
                "density": 2,
            },
            "device": {
                "id": _uuid(chance),
                "manufacturer": "Apple",
                "model": f"iPhone15,{chance.randrange(5)}",
            },
            "os": {"name": "iOS", "version": f"17.{chance.randrange(6)}"},
            "campaign": {"name": _text(chance, 2), "source": "newsletter", "medium": "email"},
        },
        "properties": {
            "order_id": _uuid(chance),
            "revenue": chance.randrange(50_000) / 100,
            "currency": chance.choice(["USD", "EUR", "JPY"]),
            "coupon": _text(chance, 1),
            "products": [
                {
                    "product_id": _uuid(chance),
                    "sku": f"SKU-{chance.randrange(10**5):05d}",
                    "name": _text(chance, 3),
                    "price": chance.randrange(9_000) / 100,
                    "quantity": chance.randrange(1, 5),
                    "category": _text(chance, 1),
                }
                for _ in range(5)
            ],
        },
    }
    missing = EVENT_BYTES - len(msgspec.json.encode(fields)) - len(',"note":""')
    fields["properties"]["note"] = _text(chance, 60)[: max(0, missing)]
    return msgspec.json.encode(fields)
