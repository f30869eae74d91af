"""CleanEvent: the one definition of an event's columns, in JSON on events.clean, in staged Parquet and in the warehouse.

A field's annotation carries its Column; `headrace_core.tables` renders the warehouse, staging renders Parquet from the
same list. The schema is additive: new fields come last, are nullable, and never change name or type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from headrace_core.raw_json import OptionalRaw

__all__ = [
    "LATE_AFTER_US",
    "RULES_VERSION",
    "SCHEMA_VERSION",
    "CleanEvent",
    "Column",
    "ColumnKind",
    "EventType",
    "IdentityStatus",
    "TimeQuality",
    "clean_row",
    "columns_of",
    "decode_clean",
    "encode_clean",
    "encode_clean_into",
]

SCHEMA_VERSION = 1
"""Rises with every added column; stage and load stop at a newer one than they know."""

RULES_VERSION = 1
"""Rises when normalise or decide may give another result for the same record; a golden corpus holds it honest."""

LATE_AFTER_US = 30 * 3_600_000_000
"""An event is late if it was received so long after the start of its day: from six hours after the day's end on."""

EventType = Literal["track", "page", "screen", "identify", "group", "alias", "custom"]
TimeQuality = Literal["exact", "skew_corrected", "zone_assumed", "ambiguous_local", "from_received"]
IdentityStatus = Literal["resolved", "anonymous", "unresolved"]
ColumnKind = Literal[
    "uuid", "text", "timestamp", "smallint", "integer", "bigint", "decimal", "json", "date", "boolean"
]


@dataclass(frozen=True, slots=True)
class Column:
    """How a field is stored. Encodings: uuid 32 hex digits in JSON; timestamp integer UTC microseconds; decimal(18,4) as a
    JSON string; json nested raw. ``bytes`` is the widest UTF-8 text the warehouse column takes."""

    kind: ColumnKind
    name: str = ""
    nullable: bool = True
    bytes: int = 512
    low_cardinality: bool = False
    """Whether Parquet uses a dictionary: few distinct values in a file."""


_URL_BYTES = 65_535

_Key = Annotated[str, Column("text", nullable=False)]
_Text = Annotated[str | None, Column("text")]
_Url = Annotated[str | None, Column("text", bytes=_URL_BYTES)]
_Low = Annotated[str | None, Column("text", low_cardinality=True)]
_Json = Annotated[OptionalRaw, Column("json", bytes=_URL_BYTES)]


class CleanEvent(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One accepted event, normalised and enriched. JSON omits nulls."""

    dedup_id: Annotated[str, Column("uuid", nullable=False)]
    event_id: _Key
    id_source: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    source: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    dialect: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    event_type: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    event_name: _Low = None
    event_ts: Annotated[int, Column("timestamp", nullable=False)]
    received_ts: Annotated[int, Column("timestamp", nullable=False)]
    ts_quality: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    original_timestamp: _Text = None
    tz_offset_min: Annotated[int | None, Column("smallint")] = None
    user_id: _Text = None
    anonymous_id: _Text = None
    user_key: _Key
    customer_id: _Text = None
    identity_status: Annotated[str, Column("text", nullable=False, low_cardinality=True)]
    session_id: _Text = None
    device_type: _Low = None
    os: _Low = None
    browser: _Low = None
    country: _Low = None
    page_url: _Url = None
    page_path: _Url = None
    referrer: _Url = None
    referrer_medium: _Low = None
    utm_source: _Low = None
    utm_medium: _Low = None
    utm_campaign: _Low = None
    revenue: Annotated[str | None, Column("decimal")] = None
    currency: _Low = None
    properties: _Json = None
    context: _Json = None
    overflow: Annotated[list[str] | None, Column("json")] = None
    schema_version: Annotated[int, Column("smallint", nullable=False)] = 0
    rules_version: Annotated[int, Column("smallint", nullable=False)] = 0
    src_partition: Annotated[int, Column("integer", nullable=False)]
    src_offset: Annotated[int, Column("bigint", nullable=False)]


def _in_field_order(shape: type[CleanEvent]) -> Callable[..., CleanEvent]:
    """A constructor by position. By name, finding each of so many fields takes ten times as long as the rest."""
    fields = [
        (field.name, field.type, None if field.default is msgspec.NODEFAULT else field.default)
        for field in msgspec.structs.fields(shape)
    ]
    made = msgspec.defstruct("CleanRow", fields, bases=(shape,), omit_defaults=True, kw_only=False, gc=False)
    return cast("Callable[..., CleanEvent]", made)


clean_row = _in_field_order(CleanEvent)
"""A CleanEvent of all its values in field order, for code that makes them by the million."""


@cache
def columns_of(struct: type[msgspec.Struct]) -> tuple[Column, ...]:
    """The columns of a Struct in field order, each with the field's name."""
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for name in struct.__struct_fields__:
        hint = hints[name]
        if get_origin(hint) is not Annotated:
            raise TypeError(f"{struct.__name__}.{name} has no Column annotation")
        column: Column = get_args(hint)[1]
        found.append(
            Column(
                column.kind,
                name,
                nullable=column.nullable,
                bytes=column.bytes,
                low_cardinality=column.low_cardinality,
            )
        )
    return tuple(found)


_encoder = msgspec.json.Encoder()

encode_clean = _encoder.encode
"""CleanEvent to JSON bytes, nulls omitted."""

encode_clean_into = _encoder.encode_into
"""As encode_clean, but into a bytearray, of which nothing else is left; one that is kept need not grow for each event."""

decode_clean = msgspec.json.Decoder(CleanEvent).decode
"""JSON bytes to CleanEvent; fields of a newer schema are ignored."""
