"""Inspects a day: look at columns, measure, expect, validate, find rows. What the daily job and the job quality call.

    inspection = inspect_day(rows, day, given=counts, history=metrics_of_days_before)
    stop = stop_reason(inspection.report, policy)

``inspection.files`` go to `headrace_core.paths.report_key`; `metrics.json` among them is later days' history. It is not there
where columns are missing or of other types: then no row is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from msgspec.structs import replace
from pyspark.sql import DataFrame

from headrace_spark.quality.absolute import wrong_columns
from headrace_spark.quality.checks import gravest
from headrace_spark.quality.docs_pages import index_page
from headrace_spark.quality.expectations import expect
from headrace_spark.quality.failing_rows import failing_rows
from headrace_spark.quality.measuring import columns_of_frame, measure_day
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

__all__ = ["SAMPLED_CHECKS", "Inspection", "inspect_day"]

SAMPLED_CHECKS = 10
"""Failed checks of which rows are looked for: each is a reading of the day."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A day's metrics, its report, and the files to put beside the plan by name."""

    metrics: DayMetrics
    report: QualityReport
    files: Mapping[str, bytes]


def inspect_day(
    rows: DataFrame,
    day: date,
    *,
    columns: Mapping[str, str] | None = None,
    given: GivenCounts | None = None,
    history: Iterable[DayMetrics] = (),
) -> Inspection:
    """Inspect the rows of a day's new generation. Blocks for seconds: call it in a thread. ``rows`` are read twice, and once
    more for each of the first failed checks. ``columns`` are those of the files, which ``rows`` need not tell of."""
    unread = DayMetrics(event_date=str(day), columns=dict(columns or columns_of_frame(rows)))
    is_readable = not wrong_columns(unread)
    metrics = replace(measure_day(rows, day, given), columns=unread.columns) if is_readable else unread
    expected = expect(metrics, history)
    validation = validate(expected)
    shown = gravest(expected.checks, SAMPLED_CHECKS) if is_readable else ()
    report = make_report(
        expected,
        rows=metrics.rows,
        passed=validation.passed,
        samples={check.label: failing_rows(rows, day, check) for check in shown},
        engine=validation.engine,
    )
    files = {
        **({METRICS_NAME: encode_metrics(metrics)} if is_readable else {}),
        REPORT_NAME: encode_report(report),
        INDEX_NAME: index_page(report),
        **validation.pages,
    }
    return Inspection(metrics, report, files)
