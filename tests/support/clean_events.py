"""Clean events as dedup writes them: seeded, with every column used and nested JSON in awkward spellings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import md5

import msgspec

from headrace_core.events import RULES_VERSION, SCHEMA_VERSION, CleanEvent, encode_clean
from headrace_core.meta import encode_source_offset
from headrace_core.topics import HEADER_FINGERPRINT, HEADER_SOURCE_OFFSET
from headrace_runtime.ports_log import Batch, Header

__all__ = ["DAY_US", "as_batch", "clean_event", "clean_headers", "fingerprint_of"]

DAY_US = 86_400_000_000
_NOON_US = 1_790_000_000_000_000
_PROPERTIES = (
    b'{"b" : 1.50,  "a":[null,"\xc3\xa9\\u00e9", 1e3], "a":2}',
    b"{}",
    b'{"products":[{"sku":"A-1","price":10.10},{"sku":"B-2"}]}',
)


def clean_event(
    offset: int, *, partition: int = 0, seed: int = 7, source_offset: int | None = None
) -> CleanEvent:
    """The clean event of a raw offset: the same for the same arguments."""
    source_offset = offset if source_offset is None else source_offset
    chance = random.Random(f"{seed}/{partition}/{source_offset}")
    event_id = f"{chance.getrandbits(64):016x}"
    event_ts = (
        _NOON_US - chance.randrange(3 * DAY_US)
        if chance.random() < 0.1
        else _NOON_US + chance.randrange(10**9)
    )
    sparse = chance.random() < 0.3
    user = f"user-{chance.randrange(1000)}"
    return CleanEvent(
        dedup_id=md5(event_id.encode()).hexdigest(),
        event_id=event_id,
        id_source="client",
        source="shop",
        dialect="segment",
        event_type=chance.choice(("track", "page", "identify")),
        event_name=None if sparse else chance.choice(("Order Completed", "Größe 👕 gewählt")),
        event_ts=event_ts,
        received_ts=event_ts + 400_000,
        ts_quality="exact",
        original_timestamp=None if sparse else "2026-09-21T14:13:20.000+02:00",
        tz_offset_min=None if sparse else 120,
        user_id=user,
        user_key=f"u:{user}",
        identity_status="resolved",
        customer_id=None if sparse else f"c-{user}",
        country=None if sparse else chance.choice(("DE", "US")),
        page_url=None if sparse else f"https://shop.example.com/p/{chance.randrange(10**6)}?q=%20a",
        revenue=None if sparse else f"{chance.randrange(10**9) / 10**4:.4f}",
        currency=None if sparse else "EUR",
        properties=None if sparse else msgspec.Raw(chance.choice(_PROPERTIES)),
        context=msgspec.Raw(b'{"ip":"203.0.113.0",  "n":%d}' % chance.randrange(10**12)),
        schema_version=SCHEMA_VERSION,
        rules_version=RULES_VERSION,
        src_partition=partition,
        src_offset=source_offset,
    )


def fingerprint_of(event: CleanEvent) -> int:
    """A fingerprint that belongs to the event as a real one does."""
    return int.from_bytes(md5(event.event_id.encode() + b"f").digest()[:8], "big")


def clean_headers(event: CleanEvent) -> list[Header]:
    """The headers of its record."""
    return [
        (HEADER_SOURCE_OFFSET, encode_source_offset(event.src_offset)),
        (HEADER_FINGERPRINT, fingerprint_of(event).to_bytes(8, "big")),
    ]


def as_batch(events: Sequence[CleanEvent]) -> Batch:
    """The events as a batch for events.clean."""
    return Batch(
        [bytes.fromhex(event.dedup_id) for event in events],
        [encode_clean(event) for event in events],
        [clean_headers(event) for event in events],
    )
