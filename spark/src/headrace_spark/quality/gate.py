"""Whether a day may be published: a pure decision from its report and the run's policy."""

from __future__ import annotations

from typing import Literal

from headrace_core.errors import BadData
from headrace_spark.quality.catalogue import CATALOGUE
from headrace_spark.quality.report import QualityReport, Result, range_text

__all__ = ["Policy", "stop_reason"]

Policy = Literal["gate", "report", "off"]
"""As `headrace_core.pipeline_run.DailyParameters.quality`."""

_SHOWN_RESULTS = 3
_SHOWN_ROWS = 5


def stop_reason(report: QualityReport, policy: Policy) -> BadData | None:
    """The error that stops the swap (exit 65); None where the day goes on. Warnings never stop it."""
    critical = report.critical
    if policy != "gate" or not critical:
        return None
    names = ", ".join(dict.fromkeys(result.name for result in critical))
    shown = "; ".join(_sentence(result) for result in critical[:_SHOWN_RESULTS])
    more = len(critical) - _SHOWN_RESULTS
    return BadData(
        f"The rows of {report.event_date} are not published: {names} failed.",
        why=shown + (f"; and {more} more" if more > 0 else "") + ".",
        fix=f"{_fixes(critical)} The report beside the plan shows all. If the rows are right, publish them: run the daily job "
        "of that day with quality: report.",
        code="quality_failed",
    )


def _sentence(result: Result) -> str:
    values = f" [{', '.join(result.values)}]" if result.values else ""
    return f"{result.label} is {result.measured:g}{values}, expected {range_text(result)}{_rows(result)}"


def _rows(result: Result) -> str:
    """The ids of some rows, with their positions in events.raw."""
    rows = [
        f"{row['dedup_id']} at {row['src_partition']}-{row['src_offset']}"
        for row in result.samples[:_SHOWN_ROWS]
    ]
    return f" (rows {', '.join(rows)})" if rows else ""


def _fixes(results: tuple[Result, ...]) -> str:
    return " ".join(dict.fromkeys(CATALOGUE[result.name].fix for result in results[:_SHOWN_RESULTS]))
