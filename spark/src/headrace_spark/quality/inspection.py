"""Inspects a day: measure, expect, validate, find rows. What the daily job and the job quality call.

    inspection = inspect_day(rows, day, given=counts, history=metrics_of_days_before)
    stop = stop_reason(inspection.report, policy)

``inspection.files`` go to `headrace_core.paths.report_key`; `metrics.json` among them is later days' history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame

from headrace_spark.quality.docs_pages import index_page
from headrace_spark.quality.expectations import expect
from headrace_spark.quality.failing_rows import failing_rows
from headrace_spark.quality.measuring import measure_day
from headrace_spark.quality.metrics import DayMetrics, GivenCounts, encode_metrics
from headrace_spark.quality.report import (
    INDEX_NAME,
    METRICS_NAME,
    REPORT_NAME,
    QualityReport,
    encode_report,
    make_report,
)
from headrace_spark.quality.validation import validate

__all__ = ["Inspection", "inspect_day"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """A day's metrics, its report, and the files to put beside the plan by name."""

    metrics: DayMetrics
    report: QualityReport
    files: Mapping[str, bytes]


def inspect_day(
    rows: DataFrame, day: date, *, given: GivenCounts | None = None, history: Iterable[DayMetrics] = ()
) -> Inspection:
    """Inspect the rows of a day's new generation. Blocks for seconds: call it in a thread. ``rows`` are read twice, and once
    more per failed expectation."""
    metrics = measure_day(rows, day, given)
    expected = expect(metrics, history)
    validation = validate(expected)
    samples = {check.label: failing_rows(rows, day, check) for check in expected.checks if not check.holds}
    report = make_report(
        expected, rows=metrics.rows, passed=validation.passed, samples=samples, engine=validation.engine
    )
    files = {
        METRICS_NAME: encode_metrics(metrics),
        REPORT_NAME: encode_report(report),
        INDEX_NAME: index_page(report),
        **validation.pages,
    }
    return Inspection(metrics, report, files)
