"""The staged file of clean events: from the rows of a cut to a Parquet object, its overflow, and the manifest's facts.

Pure; CPU only, so the worker runs it in a thread.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace_core.errors import Bug, RetryLater
from headrace_core.events import SCHEMA_VERSION, CleanEvent, columns_of, decode_clean
from headrace_core.keys import file_id
from headrace_core.manifest import File, content_of_rows
from headrace_loader.intakes import EventRow
from headrace_loader.parquet import Overflow, arrow_schema, columns_from, encode_parquet
from headrace_loader.stage_messages import Contents, Cut

__all__ = ["build_events", "event_schema"]

_DAY_US = 86_400_000_000
_CONSTANT_IN_MOST_FILES = ("schema_version", "rules_version", "src_partition", "file_id")
"""Numbers for which a dictionary of one entry beats plain values."""


def event_schema() -> pa.Schema:
    """Schema of staged events: CleanEvent's columns and `file_id`."""
    return arrow_schema(CleanEvent, "file_id")


def build_events(cut: Cut[EventRow]) -> Contents:
    """Objects and facts of a cut with rows.

    Raises RetryLater (75) where a row has a newer schema than this code, Bug (70) where a record is no clean event.
    """
    events = _decoded(cut)
    _refuse_newer(events, cut)
    content = _content(events, [fingerprint for _, fingerprint in cut.rows])
    events.sort(key=attrgetter("event_ts"))
    overflow = Overflow()
    data = _encoded(events, cut, overflow)
    times = np.fromiter(map(attrgetter("event_ts"), events), np.int64, len(events))
    received = list(map(attrgetter("received_ts"), events))
    return Contents(
        objects=(*overflow.objects.items(), (cut.key, data)),
        file=File(
            key=cut.key,
            rows=len(events),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            min_event_ts=int(times[0]),
            max_event_ts=int(times[-1]),
        ),
        schema_version=max(map(attrgetter("schema_version"), events)),
        content=content,
        rows_by_event_date=_rows_by_date(times),
        min_received_ts=min(received),
        max_received_ts=max(received),
    )


def _decoded(cut: Cut[EventRow]) -> list[CleanEvent]:
    try:
        return [decode_clean(value) for value, _ in cut.rows]
    except msgspec.MsgspecError as error:
        raise _not_clean(cut, str(error)) from error


def _refuse_newer(events: Sequence[CleanEvent], cut: Cut[EventRow]) -> None:
    """Decoding drops columns that this code does not know, so nothing of a newer schema may be staged by it."""
    newest = max(map(attrgetter("schema_version"), events))
    if newest > SCHEMA_VERSION:
        raise RetryLater(
            "Clean events have a newer schema than this loader knows.",
            why=f"Offsets {cut.start} to {cut.end} of partition {cut.identity.partition} hold schema version {newest}; "
            f"this code knows {SCHEMA_VERSION}.",
            fix="Upgrade in the order migrations, loader, dedup; the worker goes on by itself after that.",
            code="newer_schema",
        )


def _content(events: Sequence[CleanEvent], fingerprints: Sequence[bytes]) -> str:
    numbers = struct.unpack(f">{len(fingerprints)}Q", b"".join(fingerprints))
    ids = map(attrgetter("dedup_id"), events)
    partitions, offsets = map(attrgetter("src_partition"), events), map(attrgetter("src_offset"), events)
    return content_of_rows(ids, partitions, offsets, numbers)


def _encoded(events: Sequence[CleanEvent], cut: Cut[EventRow], overflow: Overflow) -> bytes:
    low = [column.name for column in columns_of(CleanEvent) if column.low_cardinality]
    try:
        arrays: list[Any] = columns_from(events, CleanEvent, overflow)
    except pa.ArrowException as error:
        raise _not_clean(cut, str(error)) from error
    arrays.append(pa.array(np.full(len(events), file_id(cut.key), np.int64)))
    dictionary = [*low, *_CONSTANT_IN_MOST_FILES]
    return encode_parquet(arrays, event_schema(), dictionary=dictionary, sorted_by="event_ts")


def _rows_by_date(times: npt.NDArray[np.int64]) -> dict[str, int]:
    days, counts = np.unique(times // _DAY_US, return_counts=True)
    return {
        datetime.fromtimestamp(day * 86_400, UTC).date().isoformat(): count
        for day, count in zip(days.tolist(), counts.tolist(), strict=True)
    }


def _not_clean(cut: Cut[EventRow], why: str) -> Bug:
    return Bug(
        "A record of events.clean is no clean event.",
        why=f"Within offsets {cut.start} to {cut.end} of partition {cut.identity.partition}: {why}",
        fix="Nothing but dedup workers may write to the topic; report this as a defect of dedup with the offsets.",
        code="clean_record_unreadable",
    )
