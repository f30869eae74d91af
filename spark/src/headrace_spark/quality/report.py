"""The quality report of a day: what was expected, what was found, which rows. `quality.json` beside the generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from headrace_core.errors import BadData
from headrace_spark.quality.catalogue import CATALOGUE, ExpectationName, Severity, Suite
from headrace_spark.quality.checks import Check, Expected, Skipped

__all__ = [
    "INDEX_NAME",
    "METRICS_NAME",
    "REPORT_NAME",
    "QualityReport",
    "Result",
    "SampleRow",
    "decode_report",
    "encode_report",
    "make_report",
    "range_text",
]

REPORT_NAME = "quality.json"
METRICS_NAME = "metrics.json"
INDEX_NAME = "index.html"
"""Names for `headrace_core.paths.report_key`."""

SampleRow = dict[str, str | int | None]
"""A row that an expectation is about: its id, source, event time and position, and the columns in question. Never a value
that names a person: who may see those looks the row up by its position."""


class Result(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An expectation about one subject: in which range it was expected, what was measured, whether it passed. Its
    ``samples`` are some of the rows that it is about, where it failed and rows can show it."""

    name: ExpectationName
    subject: str = ""
    suite: Suite
    severity: Severity
    passed: bool
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    because: str = ""
    values: tuple[str, ...] = ()
    samples: tuple[SampleRow, ...] = ()

    @property
    def label(self) -> str:
        """Name and subject, for people."""
        return f"{self.name} ({self.subject})" if self.subject else self.name


class QualityReport(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A day. It failed if a critical expectation did, and is warned about if another did. Of ``unsampled`` failed checks no
    rows were looked for: others come first."""

    version: Literal[1] = 1
    event_date: str
    outcome: Literal["passed", "warned", "failed"]
    rows: int
    results: tuple[Result, ...]
    skipped: tuple[Skipped, ...] = ()
    history_days: tuple[str, ...] = ()
    engine: str = ""
    unsampled: int = 0

    @property
    def failed(self) -> tuple[Result, ...]:
        """Results that did not pass, critical ones first."""
        found = [result for result in self.results if not result.passed]
        return tuple(sorted(found, key=lambda result: result.severity != "critical"))

    @property
    def critical(self) -> tuple[Result, ...]:
        """Critical results that did not pass: what a gate stops for."""
        return tuple(result for result in self.failed if result.severity == "critical")

    @property
    def failed_names(self) -> tuple[ExpectationName, ...]:
        """The expectations that did not pass, each once."""
        return tuple(dict.fromkeys(result.name for result in self.failed))


def make_report(
    expected: Expected,
    *,
    rows: int,
    passed: Mapping[str, bool],
    samples: Mapping[str, Sequence[SampleRow]],
    engine: str,
) -> QualityReport:
    """The report of checks whose outcome is in ``passed``, and whose rows are in ``samples``, by label."""
    results = tuple(
        _result(check, passed[check.label], samples.get(check.label, ())) for check in expected.checks
    )
    failed = {result.severity for result in results if not result.passed}
    unsampled = sum(not result.passed and result.label not in samples for result in results)
    return QualityReport(
        event_date=expected.event_date,
        outcome="failed" if "critical" in failed else "warned" if failed else "passed",
        rows=rows,
        results=results,
        skipped=expected.skipped,
        history_days=expected.history_days,
        engine=engine,
        unsampled=unsampled,
    )


def _result(check: Check, passed: bool, samples: Sequence[SampleRow]) -> Result:
    expectation = CATALOGUE[check.name]
    return Result(
        name=check.name,
        subject=check.subject,
        suite=expectation.suite,
        severity=expectation.severity,
        passed=passed,
        measured=check.measured,
        at_least=check.at_least,
        at_most=check.at_most,
        because=check.because,
        values=check.values,
        samples=tuple(samples),
    )


def range_text(check: Check | Result) -> str:
    """The range of a check for people: ``0``, ``at most 0.25``, ``4 to 9``."""
    low, high = check.at_least, check.at_most
    if low == high and low is not None:
        return f"{low:g}"
    if high is None:
        return f"at least {low:g}"
    return f"at most {high:g}" if low is None or low == 0 else f"{low:g} to {high:g}"


encode_report = msgspec.json.Encoder(order="deterministic").encode
"""A report as JSON."""

_decode = msgspec.json.Decoder(QualityReport).decode


def decode_report(data: bytes) -> QualityReport:
    """Bytes of a `quality.json`; BadData where they are none."""
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise BadData(
            "The quality report of a day cannot be read.",
            why=str(error),
            fix="Run the job quality for that day: it writes a new one.",
            code="report_unreadable",
        ) from error
