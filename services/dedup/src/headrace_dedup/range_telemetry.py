"""Metrics and a span per range of one partition."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from opentelemetry.trace import Span

from headrace_core.clock import Clock
from headrace_core.reasons import reason_of
from headrace_dedup.messages import AppendBlock, RangeDone, Recover
from headrace_dedup.ports import Table
from headrace_runtime.telemetry import Telemetry

__all__ = ["RangeTelemetry"]


@dataclass(slots=True)
class RangeTelemetry:
    """Counts once per range; nothing here is done per record."""

    telemetry: Telemetry
    clock: Clock
    partition: int
    table: Table
    _read: deque[tuple[int, float]] = field(default_factory=deque)
    _span: Span | None = None

    def records_read(self, next_offset: int) -> None:
        """Records up to this offset have come."""
        self._read.append((next_offset, self.clock.monotonic_s()))

    def block_sent(self, action: AppendBlock) -> None:
        """The block of a range is on its way: its span begins."""
        if self.telemetry.traces:
            self._end_span()
            self._span = self.telemetry.start_span(
                "dedup range", partition=self.partition, start=action.start, end=action.end
            )

    def range_done(self, done: RangeDone, lag: int | None) -> None:
        """Block and outputs are acknowledged."""
        count = self.telemetry.count
        quarantined = sum(done.quarantined.values())
        for verdict, amount in (
            ("accepted", done.accepted),
            ("duplicate", done.duplicates),
            ("quarantined", quarantined),
        ):
            if amount:
                count("headrace_dedup_records_total", amount, verdict=verdict)
        for number, amount in done.quarantined.items():
            count("headrace_dedup_quarantined_total", amount, reason=reason_of(number).code)
        self._observe(done, done.accepted + done.duplicates + quarantined)
        label = str(self.partition)
        self.telemetry.gauge("headrace_dedup_table_entries", len(self.table), partition=label)
        if lag is not None:
            self.telemetry.gauge("headrace_dedup_lag_records", lag, partition=label)

    def _observe(self, done: RangeDone, records: int) -> None:
        first = None
        while self._read and self._read[0][0] <= done.position:
            first = first or self._read.popleft()[1]
            while self._read and self._read[0][0] <= done.position:
                self._read.popleft()
        if first is None and self._read:
            first = self._read[0][1]
        if first is not None and records:
            self.telemetry.observe("headrace_dedup_range_seconds", self.clock.monotonic_s() - first)
        if self._span is not None:
            self._span.set_attribute("records", records)
        self._end_span()

    def recovering(self, action: Recover) -> None:
        """A range was given up."""
        self._read.clear()
        if action.void:
            self.telemetry.count("headrace_dedup_void_blocks_total")
        else:
            self.telemetry.count("headrace_dependency_errors_total", dependency="kafka")
        if self._span is not None:
            self._span.set_attribute("given_up", action.cause)
        self._end_span()

    def _end_span(self) -> None:
        if self._span is not None:
            self._span.end()
            self._span = None
