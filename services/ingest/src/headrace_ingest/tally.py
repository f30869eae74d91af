"""Counts what happened since the last flush, so that a request costs a few additions instead of calls into telemetry."""

from __future__ import annotations

from collections import Counter

from headrace_ingest.admission import Admission
from headrace_runtime.telemetry import Telemetry

__all__ = ["Tally"]


class Tally:
    """Counters of headrace_ingest_*, added to telemetry by ``flush``. Durations are recorded one by one."""

    def __init__(self, telemetry: Telemetry, admission: Admission) -> None:
        self._telemetry, self._admission = telemetry, admission
        self._requests: Counter[tuple[str, int]] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._body_bytes = 0

    def answered(self, dialect: str, status: int, seconds: float, body_bytes: int) -> None:
        """A request was answered."""
        self._requests[dialect, status] += 1
        self._body_bytes += body_bytes
        self._telemetry.observe("headrace_ingest_request_seconds", seconds, dialect=dialect)

    def acknowledged(self, dialect: str, accepted: int, quarantined: int) -> None:
        """Events of a request are durable."""
        self._events[dialect, "accepted"] += accepted
        if quarantined:
            self._events[dialect, "quarantined"] += quarantined

    def refused(self, code: str) -> None:
        """A request was refused whole."""
        self._refused[code] += 1

    def flush(self) -> None:
        """Hand all counts over to telemetry."""
        count = self._telemetry.count
        for (dialect, status), number in self._requests.items():
            count("headrace_ingest_requests_total", number, dialect=dialect, status=str(status))
        for (dialect, outcome), number in self._events.items():
            count("headrace_ingest_events_total", number, dialect=dialect, outcome=outcome)
        for code, number in self._refused.items():
            count("headrace_ingest_refused_requests_total", number, code=code)
        if self._body_bytes:
            count("headrace_ingest_body_bytes_total", self._body_bytes)
        self._requests.clear()
        self._events.clear()
        self._refused.clear()
        self._body_bytes = 0
        self._telemetry.gauge("headrace_ingest_bytes_in_flight", self._admission.bytes_in_flight)
