"""From records of a topic to rows: what a stager gathers of clean events, raw records and index blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace_core.block import Block, decode_block, is_valid_at
from headrace_core.errors import Bug, ConfigurationError
from headrace_core.events import SCHEMA_VERSION
from headrace_core.meta import decode_index
from headrace_core.raw_lines import RAW_LINES_VERSION, RawRecord, raw_line_encoder
from headrace_core.topics import (
    HEADER_FINGERPRINT,
    HEADER_INDEX,
    HEADER_META,
    HEADER_RERUN,
    HEADER_SOURCE_OFFSET,
)
from headrace_core.verdict_rows import VERDICT_ROWS_VERSION
from headrace_runtime.ports_log import Record

__all__ = ["EventIntake", "EventRow", "RawIntake", "VerdictIntake", "VerdictTuple"]

_EVENT_ROW_OVERHEAD_BYTES = 160
_LINE_OVERHEAD_BYTES = 64
_VERDICT_BYTES = 280

EventRow = tuple[bytes, bytes]
"""Value of a record of events.clean, and its fingerprint as 8 bytes."""


class EventIntake:
    """`Intake` of events.clean."""

    schema_version = SCHEMA_VERSION

    def rows(self, records: Sequence[Record]) -> tuple[list[int], list[EventRow]]:
        """See `Intake`: one row per record; the source offset stands in a header."""
        heads = [record.headers for record in records]
        pairs = [
            (head[0][1], head[1][1])
            for head in heads
            if len(head) == 2 and head[0][0] == HEADER_SOURCE_OFFSET and head[1][0] == HEADER_FINGERPRINT
        ]
        if len(pairs) != len(records) or not all(source and fingerprint for source, fingerprint in pairs):
            pairs = [_event_headers(record) for record in records]
        sources = [int.from_bytes(source or b"", "big", signed=True) for source, _ in pairs]
        values = [record.value or b"" for record in records]
        return sources, [(value, pair[1] or b"") for value, pair in zip(values, pairs, strict=True)]

    def size_bytes(self, rows: Sequence[EventRow]) -> int:
        """See `Intake`."""
        return sum([len(value) for value, _ in rows]) + len(rows) * _EVENT_ROW_OVERHEAD_BYTES


def _event_headers(record: Record) -> tuple[bytes, bytes]:
    """Headers ``s`` and ``f`` of a record that has them in another order than dedup writes, or not at all."""
    found = dict(record.headers)
    source, fingerprint = found.get(HEADER_SOURCE_OFFSET), found.get(HEADER_FINGERPRINT)
    if not source or not fingerprint:
        raise Bug(
            "A record of events.clean has no source offset or no fingerprint.",
            why=f"The record at offset {record.offset} has the headers {sorted(found)}.",
            fix="Nothing but dedup workers may write to the topic; find out who wrote this record.",
            code="clean_record_without_headers",
        )
    return source, fingerprint


class RawIntake:
    """`Intake` of events.raw: rows are lines of the raw archive, and a record is its own source."""

    schema_version = RAW_LINES_VERSION

    def __init__(self) -> None:
        self._encode = raw_line_encoder()

    def rows(self, records: Sequence[Record]) -> tuple[list[int], list[bytes]]:
        """See `Intake`."""
        return [record.offset for record in records], [self._line(record) for record in records]

    def size_bytes(self, rows: Sequence[bytes]) -> int:
        """See `Intake`."""
        return sum(map(len, rows)) + len(rows) * _LINE_OVERHEAD_BYTES

    def _line(self, record: Record) -> bytes:
        headers = dict(record.headers)
        index = headers.get(HEADER_INDEX)
        return self._encode(
            RawRecord(
                offset=record.offset,
                appended_ms=record.timestamp,
                key=record.key,
                value=record.value or b"",
                meta=headers.get(HEADER_META),
                index=decode_index(index) if index else None,
                rerun=headers.get(HEADER_RERUN),
            )
        )


class VerdictTuple(NamedTuple):
    """One verdict of a block: dedup id as hex, raw offset, verdict, reason number, first offset, fingerprint; then what
    is common to the block: clock ms, rules version, raw partition, index offset."""

    dedup_id: str
    offset: int
    verdict: int
    reason: int
    first_offset: int
    fingerprint: int
    clock_ms: int
    rules_version: int
    partition: int
    index_offset: int


class VerdictIntake:
    """`Intake` of dedup.index: a row per verdict of a valid block; void blocks give none (rule D3)."""

    schema_version = VERDICT_ROWS_VERSION

    def __init__(self, *, cluster_id: str, raw_topic_id: str) -> None:
        self._raw = (cluster_id, raw_topic_id)

    def rows(self, records: Sequence[Record]) -> tuple[list[int], list[VerdictTuple]]:
        """See `Intake`: the source offsets are those of the raw records."""
        sources: list[int] = []
        rows: list[VerdictTuple] = []
        for record in records:
            block = decode_block(record.value or b"")
            if not is_valid_at(block.header, record.offset):
                continue
            self._check(block, record.offset)
            sources += block.offsets
            rows += _verdicts(block)
        return sources, rows

    def size_bytes(self, rows: Sequence[VerdictTuple]) -> int:
        """See `Intake`."""
        return len(rows) * _VERDICT_BYTES

    def _check(self, block: Block, offset: int) -> None:
        header = block.header
        if (header.cluster_id, header.topic_id) != self._raw:
            raise ConfigurationError(
                "A block of dedup.index belongs to another events.raw.",
                why=f"The block at offset {offset} names cluster {header.cluster_id} and topic {header.topic_id}; "
                f"the topic here is {self._raw[1]} of cluster {self._raw[0]}.",
                fix="events.raw was made anew: follow the runbook for a recreated topic.",
                code="foreign_block",
            )


def _verdicts(block: Block) -> list[VerdictTuple]:
    header = block.header
    common = (header.clock_ms, header.rules_version, header.partition, header.index_offset)
    ids = block.dedup_ids.hex()
    columns = zip(
        block.offsets,
        block.verdicts,
        block.reasons,
        block.first_offsets,
        block.fingerprints,
        strict=True,
    )
    return [VerdictTuple(ids[at * 32 : at * 32 + 32], *row, *common) for at, row in enumerate(columns)]
