"""The measured event: a generated Segment-like call of about 2,005 bytes, thousands of different ones from one seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

__all__ = ["EVENT_BYTES", "native_events", "with_repeats"]

EVENT_BYTES = 2005
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
_BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def native_events(count: int, seed: int = 7) -> list[bytes]:
    """``count`` different native events, each of EVENT_BYTES bytes give or take a few."""
    chance = random.Random(seed)
    return [_event(chance, number) for number in range(count)]


def _uuid(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(_WORDS) for _ in range(words))


def _event(chance: random.Random, number: int) -> bytes:
    when = _BEGIN + timedelta(milliseconds=10 * number)
    fields: dict[str, Any] = {
        "id": _uuid(chance),
        "type": "track",
        "name": chance.choice(_NAMES),
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "user_id": f"user_{chance.randrange(10**7):08d}",
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


def with_repeats(events: list[bytes], share: float, seed: int) -> list[bytes]:
    """The events with ``share`` of all places taken by a repeat of an earlier one."""
    chance = random.Random(seed)
    mixed: list[bytes] = []
    fresh = iter(events)
    while True:
        if mixed and chance.random() < share:
            mixed.append(chance.choice(mixed))
            continue
        event = next(fresh, None)
        if event is None:
            return mixed
        mixed.append(event)
