"""Metrics and traces by OpenTelemetry: recorded per batch, from the closed list of headrace_core.metrics only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.metrics import (
    _Gauge as Gauge,
)  # the API exports the synchronous gauge under this name only
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

from headrace_core.metrics import METRICS, MetricName

__all__ = ["METRICS_CONTENT_TYPE", "Telemetry", "traceparent_of"]

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST


class Telemetry:
    """The instruments of one process, with a metric registry of their own."""

    def __init__(self, service: str, instance: str, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create({"service.name": service, "service.instance.id": instance})
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=self._registry)
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._meter = self._provider.get_meter("headrace")
        self._counters: dict[MetricName, Counter] = {}
        self._gauges: dict[MetricName, Gauge] = {}
        self._histograms: dict[MetricName, Histogram] = {}
        self._tracing: TracerProvider | None = None
        if exporter is not None:
            self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._tracing.add_span_processor(BatchSpanProcessor(exporter))

    @classmethod
    def create(cls, service: str, instance: str, otlp_endpoint: str | None) -> Telemetry:
        """Telemetry with traces sent to an OTLP collector, or without traces."""
        if otlp_endpoint is None:
            return cls(service, instance)
        return cls(
            service, instance, OTLPSpanExporter(endpoint=f"{otlp_endpoint.rstrip('/')}/v1/traces", timeout=5)
        )

    def count(self, name: MetricName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        found = self._counters.get(name)
        if found is None:
            found = self._counters[name] = self._meter.create_counter(*self._described(name, "counter"))
        found.add(amount, labels)

    def gauge(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge."""
        found = self._gauges.get(name)
        if found is None:
            found = self._gauges[name] = self._meter.create_gauge(*self._described(name, "gauge"))
        found.set(value, labels)

    def observe(self, name: MetricName, value: float, **labels: str) -> None:
        """Record one value of a histogram."""
        found = self._histograms.get(name)
        if found is None:
            found = self._histograms[name] = self._meter.create_histogram(
                *self._described(name, "histogram"), explicit_bucket_boundaries_advisory=METRICS[name].buckets
            )
        found.record(value, labels)

    @staticmethod
    def _described(name: MetricName, kind: str) -> tuple[str, str, str]:
        """Name, unit and meaning; the unit stays empty since it is part of our names and the exporter would repeat it."""
        metric = METRICS[name]
        if metric.kind != kind:
            raise TypeError(f"{name} is a {metric.kind}, not a {kind}")
        return name, "", metric.meaning

    @property
    def traces(self) -> bool:
        """Whether spans go anywhere: hot paths ask before they collect attributes."""
        return self._tracing is not None

    @contextmanager
    def span(self, name: str, traceparent: str | None = None, **attributes: str | float) -> Iterator[Span]:
        """A span, child of a W3C ``traceparent`` where one is given; costs nothing while traces go nowhere."""
        if self._tracing is None:
            yield trace.INVALID_SPAN
            return
        tracer = self._tracing.get_tracer("headrace")
        with tracer.start_as_current_span(
            name, context=_context_of(traceparent), attributes=attributes
        ) as span:
            yield span

    def start_span(self, name: str, traceparent: str | None = None, **attributes: str | float) -> Span:
        """A span that the caller ends, for work that goes on in callbacks; invalid while traces go nowhere."""
        if self._tracing is None:
            return trace.INVALID_SPAN
        tracer = self._tracing.get_tracer("headrace")
        return tracer.start_span(name, context=_context_of(traceparent), attributes=attributes)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def shutdown(self) -> None:
        """Send what is left and stop the exporters' threads."""
        self._provider.shutdown()
        if self._tracing is not None:
            self._tracing.shutdown()


def _context_of(traceparent: str | None) -> Context | None:
    if not traceparent:
        return None
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


def traceparent_of(span: Span) -> str:
    """The W3C traceparent that makes other spans children of this one."""
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
