"""What is measured of a day: `metrics.json` beside a generation, and the history that later days are compared with.

Everything is a count, so that sums of parts are parts of a sum; money is decimal text. No value of a person is in it.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from headrace_core.dialects import DIALECTS
from headrace_core.errors import BadData
from headrace_core.events import EventType, IdentityStatus, TimeQuality
from headrace_core.keys import IdSource
from headrace_core.times import FUTURE_TOLERANCE_US

__all__ = [
    "ABSENT",
    "DELAYS_S",
    "HOURS",
    "KNOWN_VALUES",
    "NULL_RULES",
    "UNKNOWN",
    "UNREADABLE",
    "DayMetrics",
    "GivenCounts",
    "Money",
    "NullCount",
    "NullRule",
    "SourceMetrics",
    "decode_metrics",
    "encode_metrics",
]

HOURS = 24

UNREADABLE = "metrics_unreadable"
"""The code of the error of metrics that cannot be read."""

ABSENT = ""
"""The key of what is null, such as the currency of revenue without one."""

UNKNOWN = "?"
"""The key of values that the code does not know: they are counted together, so that junk cannot grow the metrics."""

DELAYS_S = (-FUTURE_TOLERANCE_US // 1_000_000, 1, 60, 300, 1_800, 50_400, 86_400, 604_800)
"""Upper ends, exclusive, of the buckets of received_ts − event_ts; a last bucket takes the rest. The first bucket is of events
after their receipt; from 30 minutes to 14 hours is what a clock in the wrong zone is off by."""

KNOWN_VALUES: dict[str, tuple[str, ...]] = {
    "event_type": get_args(EventType),
    "ts_quality": get_args(TimeQuality),
    "identity_status": get_args(IdentityStatus),
    "id_source": get_args(IdSource),
    "dialect": tuple(sorted(DIALECTS)),
}
"""The closed lists of columns."""

NullColumn = Literal[
    "user_id",
    "anonymous_id",
    "session_id",
    "event_name",
    "page_url",
    "page_path",
    "country",
    "device_type",
    "revenue",
    "currency",
]


class NullRule(msgspec.Struct, frozen=True, kw_only=True):
    """Rows on which a null of a column means something: those of the event types, or with another column filled."""

    event_types: tuple[str, ...] = ()
    filled: str | None = None


NULL_RULES: dict[NullColumn, NullRule] = {
    "user_id": NullRule(),
    "anonymous_id": NullRule(),
    "session_id": NullRule(event_types=("track", "page", "screen", "custom")),
    "event_name": NullRule(event_types=("track", "screen", "custom")),
    "page_url": NullRule(event_types=("page",)),
    "page_path": NullRule(event_types=("page",)),
    "country": NullRule(event_types=("track", "page", "screen", "custom")),
    "device_type": NullRule(event_types=("track", "page", "screen", "custom")),
    "revenue": NullRule(event_types=("track", "custom")),
    "currency": NullRule(filled="revenue"),
}
assert set(NULL_RULES) == set(get_args(NullColumn))


class NullCount(msgspec.Struct, frozen=True, kw_only=True):
    """Of ``rows`` to which the column applies ``nulls`` have none."""

    rows: int = 0
    nulls: int = 0


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Revenue in one currency. ``log10_sum`` is of the absolute amounts that are not 0, of which there are ``amounts``:
    their mean is the size of a usual amount, which one huge order does not move."""

    events: int = 0
    total: str = "0.0000"
    amounts: int = 0
    log10_sum: float = 0.0


class SourceMetrics(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Counts of the rows of one source. Hours are UTC, of the event time; ``delays`` are the buckets of DELAYS_S."""

    rows: int = 0
    hours: tuple[int, ...] = (0,) * HOURS
    event_types: dict[str, int] = {}
    ts_quality: dict[str, int] = {}
    identity: dict[str, int] = {}
    delays: tuple[int, ...] = (0,) * (len(DELAYS_S) + 1)
    nulls: dict[str, NullCount] = {}
    money: dict[str, Money] = {}


class GivenCounts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What only the job knows; None where nobody counted. ``rows_previous`` are of the generation before, ``rows_read`` of
    the staged files; of both together ``duplicates`` and ``suppressed`` were left out. ``records_deduplicated`` are the raw
    records received on the day that dedup accepted or found to be duplicates, ``duplicates_at_dedup`` the latter."""

    rows_previous: int | None = None
    rows_read: int | None = None
    duplicates: int | None = None
    suppressed: int | None = None
    records_deduplicated: int | None = None
    duplicates_at_dedup: int | None = None


class DayMetrics(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A day. ``columns`` are name and type of what was measured; ``unknown`` counts values outside a closed list by column."""

    version: Literal[1] = 1
    event_date: str
    columns: dict[str, str] = {}
    rows: int = 0
    distinct_ids: int = 0
    distinct_contents: int = 0
    """Rows that differ in what happened to whom and when, by a hash of 64 bits."""
    outside_the_day: int = 0
    required_nulls: int = 0
    user_key_disagrees: int = 0
    unknown: dict[str, int] = {}
    schema_versions: dict[str, int] = {}
    rules_versions: dict[str, int] = {}
    sources: dict[str, SourceMetrics] = {}
    given: GivenCounts = GivenCounts()

    @property
    def after_receipt(self) -> int:
        """Rows of a time after their receipt."""
        return sum(source.delays[0] for source in self.sources.values())

    @property
    def hours(self) -> tuple[int, ...]:
        """Rows by hour, of all sources."""
        return tuple(sum(source.hours[hour] for source in self.sources.values()) for hour in range(HOURS))


encode_metrics = msgspec.json.Encoder(order="deterministic").encode
"""Metrics as JSON."""

_decode = msgspec.json.Decoder(DayMetrics).decode


def decode_metrics(data: bytes) -> DayMetrics:
    """Bytes of a `metrics.json`; BadData where they are none."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise BadData(
            "The metrics of a day cannot be read.",
            why=str(error),
            fix="Run the job quality for that day: it measures the current generation again.",
            code=UNREADABLE,
        ) from error
