"""The request path: from a received body to records under way, and from their outcome to the answer.

`Intake.submit` decides without waiting; the answer comes by callback, at once or later, and exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from opentelemetry.trace import Span

from headrace_core.clock import Clock
from headrace_core.dialects import BodyRejected, Mappings
from headrace_core.meta import RequestMeta
from headrace_core.write_keys import SourceEntry
from headrace_ingest.accept import Accepted, accept, undecodable
from headrace_ingest.admission import Admission, Ticket
from headrace_ingest.answers import Answer, native_answer, refusal_answer, segment_answer
from headrace_ingest.credentials import presented_key
from headrace_ingest.envelope import Envelope, open_envelope
from headrace_ingest.inflate import inflate
from headrace_ingest.key_store import KeyStore
from headrace_ingest.limits import COMMA_LIMIT, UNDECODABLE_LIMIT_BYTES, WIRE_LIMIT_BYTES
from headrace_ingest.log_sink import LogSink
from headrace_ingest.log_watch import LogWatch
from headrace_ingest.refusals import Refusal, RefusalCode
from headrace_ingest.request_ids import RequestIds
from headrace_ingest.request_meta import build_meta, client_address, traceparent_of
from headrace_ingest.routes import Route
from headrace_ingest.tally import Tally
from headrace_runtime.telemetry import Telemetry
from headrace_runtime.telemetry import traceparent_of as span_traceparent

__all__ = ["Intake", "Request"]


class Request(NamedTuple):
    """A received request. Header names are in lower case; ``ticket`` holds the bytes of its body."""

    route: Route
    headers: Mapping[bytes, bytes]
    peer: str | None
    ticket: Ticket
    started_s: float


@dataclass(slots=True, eq=False)
class _Exchange:
    """A request between its first decision and its answer."""

    request: Request
    identifier: str
    respond: Callable[[Answer], None]
    body_bytes: int
    span: Span | None = None
    accepted: Accepted | None = None
    body_rejected: Refusal | None = None
    """Set where the whole body is one quarantine record: what the sender is told once that is durable."""


class Intake:
    """Answers requests on hot paths."""

    def __init__(
        self,
        *,
        clock: Clock,
        keys: KeyStore,
        mappings: Mappings,
        watch: LogWatch,
        admission: Admission,
        tally: Tally,
        telemetry: Telemetry,
        partitions: int,
        trusted_hops: int,
    ) -> None:
        self._clock, self._keys, self._mappings = clock, keys, mappings
        self._watch, self._admission = watch, admission
        self._tally, self._telemetry = tally, telemetry
        self._partitions, self._trusted_hops = partitions, trusted_hops
        self._ids = RequestIds(clock)
        self._sink: LogSink | None = None
        self._closed = False

    def open(self, sink: LogSink) -> None:
        """Kafka can be reached: take requests from now on."""
        self._sink = sink

    def close(self) -> LogSink | None:
        """Take no request any more; the sink, if there was one."""
        sink, self._sink, self._closed = self._sink, None, True
        return sink

    def begin(self, route: Route, headers: Mapping[bytes, bytes], peer: str | None) -> Request:
        """A request whose headers have come. Its ticket must grow with its body, before the body is kept."""
        return Request(route, headers, peer, self._admission.ticket(), self._clock.monotonic_s())

    def refuse(self, request: Request, refusal: Refusal, respond: Callable[[Answer], None]) -> None:
        """Answer a request whose body was not received."""
        exchange = _Exchange(request, self._ids.next(), respond, request.ticket.held)
        self._finish_refused(exchange, refusal)

    def submit(self, request: Request, body: bytes, respond: Callable[[Answer], None]) -> None:
        """Take a received request. ``respond`` is called once."""
        exchange = _Exchange(request, self._ids.next(), respond, len(body))
        try:
            sink = self._open_sink()
            accepted = self._decide(exchange, body)
            exchange.accepted = accepted
            sink.append(accepted, lambda offsets, error: self._settled(exchange, offsets, error))
        except Refusal as refusal:
            self._finish_refused(exchange, refusal)

    def _open_sink(self) -> LogSink:
        if self._sink is None:
            raise Refusal(RefusalCode.STOPPING if self._closed else RefusalCode.LOG_UNAVAILABLE)
        if self._watch.hopeless:
            raise Refusal(RefusalCode.LOG_UNAVAILABLE)
        return self._sink

    def _decide(self, exchange: _Exchange, body: bytes) -> Accepted:
        """Raises Refusal. The order matters: nothing is inflated for a stranger who could be told so before."""
        request = exchange.request
        presented = presented_key(request.headers)
        entry = self._authenticate(presented, request.route) if presented else None
        if not body:
            raise Refusal(RefusalCode.EMPTY_BODY)
        encoding = request.headers.get(b"content-encoding")
        if encoding is not None:
            body = inflate(body, encoding.decode("latin-1").strip().lower())
            request.ticket.grow_to(exchange.body_bytes + len(body))
        if len(body) > WIRE_LIMIT_BYTES and body.count(b",") > COMMA_LIMIT:
            raise Refusal(RefusalCode.TOO_MANY_EVENTS, "It has too many values to be looked at one by one.")
        content_type = request.headers.get(b"content-type", b"").decode("latin-1")
        try:
            envelope = open_envelope(request.route, body, content_type)
        except BodyRejected as rejected:
            return self._keep_whole(exchange, entry, body, rejected)
        if entry is None:
            entry = self._authenticate(envelope.write_key, request.route)
        meta = self._meta(exchange, entry, envelope)
        return accept(envelope.events, meta, self._partitions, self._mappings)

    def _authenticate(self, key: str | None, route: Route) -> SourceEntry:
        if not key:
            raise Refusal(RefusalCode.MISSING_WRITE_KEY)
        entry = self._keys.find(key)
        if entry is None:
            raise Refusal(RefusalCode.UNKNOWN_WRITE_KEY)
        if entry.dialects is not None and route.dialect not in entry.dialects:
            raise Refusal(RefusalCode.DIALECT_NOT_ALLOWED, f"It may send {', '.join(entry.dialects)}.")
        if route.mapping is not None:
            mapping = self._mappings.get(route.mapping)
            if mapping is None:
                raise Refusal(RefusalCode.UNKNOWN_MAPPING, f"It is called {route.mapping!r}.")
            if mapping.spec.source != entry.source:
                raise Refusal(RefusalCode.MAPPING_NOT_ALLOWED, f"Its source is {mapping.spec.source}.")
        return entry

    def _meta(self, exchange: _Exchange, entry: SourceEntry, envelope: Envelope) -> RequestMeta:
        request, identifier = exchange.request, exchange.identifier
        traceparent = traceparent_of(request.headers, identifier)
        if self._telemetry.traces:
            span = self._telemetry.start_span("ingest request", traceparent, dialect=request.route.dialect)
            exchange.span, traceparent = span, span_traceparent(span)
        return build_meta(
            request.route,
            entry,
            request.headers,
            address=client_address(request.peer, request.headers, self._trusted_hops),
            received_at=self._clock.now_ms(),
            identifier=identifier,
            traceparent=traceparent,
            sent_at=envelope.sent_at,
            context=envelope.context,
        )

    def _keep_whole(
        self, exchange: _Exchange, entry: SourceEntry | None, body: bytes, rejected: BodyRejected
    ) -> Accepted:
        """A body without events: kept where its sender is known and it is small enough. Raises Refusal."""
        refusal = Refusal(RefusalCode.UNDECODABLE_BODY, rejected.detail)
        if entry is None or len(body) > UNDECODABLE_LIMIT_BYTES:
            raise refusal
        exchange.body_rejected = refusal
        meta = self._meta(exchange, entry, Envelope([]))
        return undecodable(body, rejected.detail, meta, self._partitions)

    def _settled(self, exchange: _Exchange, offsets: list[int], error: Refusal | None) -> None:
        """The log's outcome: the only place from which a sender can get 200 (rule A2)."""
        accepted, route = exchange.accepted, exchange.request.route
        assert accepted is not None
        if error is not None:
            self._finish_refused(exchange, error)
            return
        self._tally.acknowledged(route.dialect, len(accepted.raw.values), len(accepted.rejections))
        if exchange.body_rejected is not None:
            self._finish_refused(exchange, exchange.body_rejected)
        elif route.convention == "native":
            self._finish(exchange, native_answer(accepted, offsets, exchange.identifier))
        else:
            self._finish(exchange, segment_answer(accepted, exchange.identifier))

    def _finish_refused(self, exchange: _Exchange, refusal: Refusal) -> None:
        self._tally.refused(refusal.code.code)
        convention = exchange.request.route.convention
        self._finish(exchange, refusal_answer(refusal, convention, exchange.identifier))

    def _finish(self, exchange: _Exchange, answer: Answer) -> None:
        request = exchange.request
        request.ticket.release()
        seconds = self._clock.monotonic_s() - request.started_s
        self._tally.answered(request.route.dialect, answer.status, seconds, exchange.body_bytes)
        if exchange.span is not None:
            exchange.span.set_attribute("http.response.status_code", answer.status)
            exchange.span.end()
        exchange.respond(answer)
