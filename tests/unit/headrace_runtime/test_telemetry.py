"""Metrics appear under the names of the closed list, once, and a trace continues the caller's."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace_core.metrics import METRICS
from headrace_runtime.telemetry import Telemetry


@pytest.fixture(scope="module")
def telemetry() -> Telemetry:
    return Telemetry("trial", "one")


def _lines(telemetry: Telemetry, name: str) -> list[str]:
    return [line for line in telemetry.exposition().decode().splitlines() if line.startswith(name)]


def test_names_are_those_of_the_list(telemetry: Telemetry) -> None:
    telemetry.count("headrace_load_rows_total", 3, outcome="inserted")
    telemetry.count("headrace_load_rows_total", 2, outcome="inserted")
    telemetry.gauge("headrace_load_freshness_seconds", 4.5)
    telemetry.observe("headrace_load_transaction_seconds", 0.3)
    (counter,) = _lines(telemetry, "headrace_load_rows_total")
    assert 'outcome="inserted"' in counter
    assert counter.endswith(" 5.0")
    (gauge,) = _lines(telemetry, "headrace_load_freshness_seconds")
    assert gauge.endswith(" 4.5")
    assert any(
        line.endswith(" 1.0") and 'le="0.5"' in line
        for line in _lines(telemetry, "headrace_load_transaction")
    )


def test_a_metric_of_another_kind_is_refused(telemetry: Telemetry) -> None:
    with pytest.raises(TypeError, match="is a gauge, not a counter"):
        telemetry.count("headrace_ready")


def test_counters_and_units_are_named_by_convention() -> None:
    for name, metric in METRICS.items():
        assert name.endswith("_total") == (metric.kind == "counter"), name
        assert metric.unit != "s" or "_seconds" in name, name
        assert metric.unit != "By" or "_bytes" in name, name


def test_a_span_is_the_child_of_the_callers() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("trial", "two", exporter)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with telemetry.span("range", f"00-{trace_id}-00f067aa0ba902b7-01", partition=3):
        pass
    telemetry.shutdown()
    (span,) = exporter.get_finished_spans()
    context = span.get_span_context()
    assert context is not None
    assert f"{context.trace_id:032x}" == trace_id
    assert span.attributes is not None
    assert span.attributes["partition"] == 3
