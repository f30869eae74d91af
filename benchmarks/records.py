"""Records of events.raw and events.clean made of traffic, by the code that writes them in an installation."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.bodies import BEGIN, Traffic
from benchmarks.stand import PARTITIONS, Rows
from headrace_core.dialects import parse
from headrace_core.events import CleanEvent, encode_clean
from headrace_core.identify import identify
from headrace_core.meta import RequestMeta, encode_source_offset
from headrace_core.normalise import normalise
from headrace_core.topics import HEADER_FINGERPRINT, HEADER_SOURCE_OFFSET
from headrace_ingest.accept import accept
from headrace_runtime.record_headers import encode_headers

__all__ = ["CleanRecords", "raw_records"]

_PER_REQUEST = 50


def _meta(request: int, received_at_ms: int) -> RequestMeta:
    return RequestMeta(
        source="web",
        dialect="native",
        path="/v1/events",
        received_at=received_at_ms,
        request_id=f"bench-{request:012d}",
        ip="203.0.113.0",
        user_agent="bench",
    )


def _received_ms(event: int) -> int:
    """A second after the event's own time, so that none of them counts as late, early or skewed."""
    return int(BEGIN.timestamp() * 1000) + event + 1000


def raw_records(events: list[bytes], *, first_request: int = 0) -> dict[int, Rows]:
    """What ingest appends to events.raw for ``events`` in requests of 50, by partition."""
    partitions: defaultdict[int, Rows] = defaultdict(Rows.empty)
    for start in range(0, len(events), _PER_REQUEST):
        meta = _meta(first_request + start // _PER_REQUEST, _received_ms(start))
        columns = accept(events[start : start + _PER_REQUEST], meta, PARTITIONS, {}).raw
        for at, partition in enumerate(columns.partitions):
            rows = partitions[partition]
            rows.keys.append(columns.keys[at])
            rows.values.append(columns.values[at])
            rows.headers.append(columns.headers[at])
    return dict(partitions)


class CleanRecords:
    """Records of events.clean, each of another event, with rising source offsets per partition."""

    def __init__(self, seed: int = 7) -> None:
        self._traffic = Traffic(seed, repeats=0.0)
        self._offsets = [0] * PARTITIONS

    def take(self, per_partition: int) -> dict[int, list[tuple[CleanEvent, int]]]:
        """``per_partition`` events with their fingerprints for every partition."""
        taken: dict[int, list[tuple[CleanEvent, int]]] = {partition: [] for partition in range(PARTITIONS)}
        for number, value in enumerate(self._traffic.take(per_partition * PARTITIONS)):
            # Partitions in turn and not by id: each holds equally many, so that every cut is one round's.
            partition = number % PARTITIONS
            taken[partition].append(self._clean(value, partition))
        return taken

    def _clean(self, value: bytes, partition: int) -> tuple[CleanEvent, int]:
        offset = self._offsets[partition]
        self._offsets[partition] += 1
        meta = _meta(offset, _received_ms(offset * PARTITIONS))
        parsed = parse(value, meta, {})
        identity = identify(parsed, meta, 0)
        event = normalise(parsed, identity, meta, src_partition=partition, src_offset=offset)
        return event, identity.fingerprint

    @staticmethod
    def rows(events: list[tuple[CleanEvent, int]]) -> Rows:
        """The records as dedup appends them."""
        return Rows(
            [bytes.fromhex(event.dedup_id) for event, _ in events],
            [encode_clean(event) for event, _ in events],
            [
                encode_headers(
                    [
                        (HEADER_SOURCE_OFFSET, encode_source_offset(event.src_offset)),
                        (HEADER_FINGERPRINT, fingerprint.to_bytes(8, "big")),
                    ]
                )
                for event, fingerprint in events
            ],
        )
