"""Reports, the gate's decision, the pages, and what is never imported before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.day_metrics import day_of, source_of, weeks_of
from tests.support.write_docs import EXPECTATIONS_END, EXPECTATIONS_START, expectations_table

from headrace_core.errors import BadData, ExitCode
from headrace_spark.quality.catalogue import CATALOGUE, null_rate
from headrace_spark.quality.checks import gravest
from headrace_spark.quality.docs_pages import index_page, self_contained
from headrace_spark.quality.expectations import expect
from headrace_spark.quality.gate import stop_reason
from headrace_spark.quality.metrics import NULL_RULES, DayMetrics, decode_metrics, encode_metrics
from headrace_spark.quality.report import (
    QualityReport,
    SampleRow,
    decode_report,
    encode_report,
    make_report,
    range_text,
)

ROW: SampleRow = {
    "dedup_id": "00ff",
    "source": "<shop>",
    "event_ts": "2026-03-02 08:00:00",
    "src_partition": 3,
    "src_offset": 7,
}


def _report(day: DayMetrics) -> QualityReport:
    expected = expect(day, weeks_of())
    failed = [check for check in expected.checks if not check.holds]
    return make_report(
        expected,
        rows=day.rows,
        passed={check.label: check.holds for check in expected.checks},
        samples={check.label: [ROW] for check in failed},
        engine="test",
    )


BROKEN = replace(day_of(shop=source_of(late=0.9)), distinct_ids=3_990)
WARNED = day_of(shop=source_of(quality={"skew_corrected": 1.0}))


@pytest.mark.parametrize(("day", "outcome"), [(day_of(), "passed"), (WARNED, "warned"), (BROKEN, "failed")])
def test_the_outcome_is_the_gravest(day: DayMetrics, outcome: str) -> None:
    report = _report(day)
    assert report.outcome == outcome
    assert decode_report(encode_report(report)) == report


def test_the_gate_stops_for_critical_expectations_alone() -> None:
    stop = stop_reason(_report(BROKEN), "gate")
    assert stop is not None
    assert (stop.exit_code, stop.code) == (ExitCode.BAD_DATA, "quality_failed")
    assert "unique_dedup_id is 10, expected 0 (rows 00ff at 3-7)" in stop.why
    assert "clock_shift (hours late, shop) is 0.9, expected at most 0.5" in stop.why
    assert CATALOGUE["unique_dedup_id"].fix in stop.fix
    assert "quality: report" in stop.fix
    assert stop_reason(_report(BROKEN), "report") is None
    assert stop_reason(_report(BROKEN), "off") is None
    assert stop_reason(_report(WARNED), "gate") is None
    assert stop_reason(_report(day_of()), "gate") is None


def test_a_long_list_is_cut_and_says_so() -> None:
    broken = replace(BROKEN, required_nulls=1, outside_the_day=1, user_key_disagrees=1)
    stop = stop_reason(_report(broken), "gate")
    assert stop is not None
    assert stop.why.endswith("; and 2 more.")


def test_the_index_says_what_failed_and_escapes_what_it_shows() -> None:
    page = index_page(_report(BROKEN)).decode()
    assert "unique_dedup_id" in page
    assert "&lt;shop&gt;" in page
    assert "<shop>" not in page
    assert 'href="time.html"' in page
    assert "http" not in page


def test_rows_are_looked_for_of_the_gravest_and_the_report_says_of_how_many_more_not() -> None:
    expected = expect(replace(BROKEN, required_nulls=1, sources=WARNED.sources), weeks_of())
    failed = [check for check in expected.checks if not check.holds]
    assert [check.name for check in gravest(expected.checks, 9)] == [
        "required_columns",
        "unique_dedup_id",
        "skew_corrected_rate",
    ]
    shown = gravest(expected.checks, 2)
    report = make_report(
        expected,
        rows=1,
        passed={check.label: check.holds for check in expected.checks},
        samples={check.label: [ROW] for check in shown},
        engine="test",
    )
    assert report.unsampled == len(failed) - 2 == 1
    assert "Of 1 more failed checks no rows were looked for." in index_page(report).decode()
    assert "no rows were looked for" not in index_page(_report(BROKEN)).decode()


def test_a_page_of_data_docs_loads_nothing() -> None:
    page = (
        '<html><head><link rel="stylesheet" href="https://a.example/x.css"><style>b {}</style></head><body>'
        '<a href="../../index.html"><img src="https://a.example/logo.png?d=1"/></a><script src="https://a.example/j.js">'
        "</script><script>$(1)</script><p>kept</p><footer><a href='https://a.example'>x</a></footer></body></html>"
    )
    found = self_contained(page)
    assert "https" not in found
    assert "<script" not in found
    assert '<a href="index.html"></a><p>kept</p>' in found
    assert found.count("<style>") == 1


def test_ranges_read_like_sentences() -> None:
    checks = {check.label: check for check in expect(day_of(), weeks_of()).checks}
    assert range_text(checks["unique_dedup_id"]) == "0"
    assert range_text(checks["missing_hour (12:00 UTC)"]) == "at least 1"
    assert range_text(checks["active_hours (shop)"]) == "at most 1"
    assert range_text(checks["volume_against_trailing_weeks (shop)"]) == "975 to 16025"


def test_metrics_are_read_back_and_foreign_bytes_are_refused() -> None:
    assert decode_metrics(encode_metrics(BROKEN)) == BROKEN
    for decode in (decode_metrics, decode_report):
        with pytest.raises(BadData, match="cannot be read"):
            decode(b'{"version":2}')


def test_every_null_rule_has_its_expectation() -> None:
    assert {null_rate(column) for column in NULL_RULES} == {
        name for name in CATALOGUE if name.startswith("null_rate_")
    }


def test_great_expectations_is_not_imported_before_it_is_used() -> None:
    code = (
        "import sys, headrace_spark.quality.validation, headrace_spark.quality.gate\n"
        "assert not {'great_expectations', 'pandas', 'pyspark'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_page_of_documentation_lists_the_catalogue() -> None:
    text = (Path(__file__).parents[4] / "docs" / "services" / "quality.md").read_text(encoding="utf-8")
    written = text.partition(EXPECTATIONS_START)[2].partition(EXPECTATIONS_END)[0].strip()
    assert written == expectations_table(), "run: python -m tests.support.write_docs"
