"""Pages that stand alone: Data Docs without what they would load from elsewhere, and the report as the page that leads to them.

Data Docs as rendered load styles, scripts and a logo from eight hosts, among them one that counts who looks. A report in an
object store must be readable without any of them, and tell nobody that it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from headrace_spark.quality.catalogue import CATALOGUE
from headrace_spark.quality.report import INDEX_NAME, QualityReport, Result, SampleRow, range_text

__all__ = ["index_page", "self_contained"]

_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem 2rem; color: #1d2733; }
h1 { font-size: 1.5rem; } h2, h4, h5 { font-size: 1.1rem; margin: 1.2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; }
td, th { border-bottom: 1px solid #d8dee6; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.alert { background: #f1f4f8; padding: .4rem .8rem; margin-top: 1.2rem; }
.breadcrumb, ul.nav { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; }
.badge, .failed, .text-danger { color: #b3261e; } .passed, .text-success { color: #1b6e3c; } .warned { color: #8a5a00; }
.fa-times::before { content: "\\2717  failed"; } .fa-check-circle::before { content: "\\2713  passed"; }
.fa-exclamation-triangle::before { content: "\\26A0"; } .cooltip .top, [data-toggle=collapse] { display: none; }
i { font-style: normal; } code { font-size: .85em; }
</style>"""

_SCRIPTS = re.compile(r"<script\b.*?</script>", re.DOTALL)
_LINKS = re.compile(r"<link\b[^>]*>")
_STYLES = re.compile(r"<style\b.*?</style>", re.DOTALL)
_IMAGES = re.compile(r"<img\b[^>]*>", re.DOTALL)
_FOOTER = re.compile(r"<footer\b.*?</footer>", re.DOTALL)
_ACTIONS = re.compile(
    r'<div class="card mb-3">\s*<div class="card-header p-2">\s*<strong>Actions</strong>.*?'
    r'(?=<div class="card d-md-block)',
    re.DOTALL,
)
_HOME = re.compile(r'href="(?:\.\./)*index\.html"')
_SUITE_LINKS = re.compile(r'<a href="(?:\.\./)*expectations/[^"]*"\s*>(.*?)</a>', re.DOTALL)


def self_contained(page: str) -> str:
    """A page of Data Docs that loads nothing, with links to the report."""
    for part in (_SCRIPTS, _LINKS, _STYLES, _IMAGES, _FOOTER, _ACTIONS):
        page = part.sub("", page)
    page = _HOME.sub(f'href="{INDEX_NAME}"', page)
    page = _SUITE_LINKS.sub(r"\1", page)
    return page.replace("</head>", f"{_STYLE}</head>", 1)


def index_page(report: QualityReport) -> bytes:
    """The report for people: what failed and which rows, then everything that was checked."""
    suites = dict.fromkeys(result.suite for result in report.results)
    links = " ".join(f'<a href="{suite}.html">{suite}</a>' for suite in suites)
    summary = f"{report.rows:,} rows, {len(report.results)} checks, {len(report.history_days)} days to compare with."
    parts = [
        f"<h1>Quality of {report.event_date}: <span class={report.outcome}>{report.outcome}</span></h1>",
        f"<p>{summary} Data Docs by suite: {links}.</p>",
        *(_failure(result) for result in report.failed),
        _unsampled(report),
        _table("Checks", ("", "expectation", "measured", "expected", "because"), map(_row, report.results)),
        _table("Not checked", ("expectation", "why"), _skipped(report)),
    ]
    head = f'<meta charset="utf-8"><title>Quality of {report.event_date}</title>{_STYLE}'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'.encode()


def _unsampled(report: QualityReport) -> str:
    more = report.unsampled
    return f"<p>Of {more} more failed checks no rows were looked for.</p>" if more else ""


def _failure(result: Result) -> str:
    expectation = CATALOGUE[result.name]
    kind = "failed" if result.severity == "critical" else "warned"
    values = f" Out of the ordinary: {escape(', '.join(result.values))}." if result.values else ""
    return (
        f"<h2 class={kind}>{escape(result.label)}: {result.severity}</h2><p>{escape(expectation.sentence)} Measured "
        f"{result.measured:g}, expected {range_text(result)} ({escape(result.because)}).{values}<br>"
        f"{escape(expectation.fix)}</p>{_samples(result.samples)}"
    )


def _samples(rows: tuple[SampleRow, ...]) -> str:
    if not rows:
        return ""
    cells = [tuple(f"<code>{escape(str(value))}</code>" for value in row.values()) for row in rows]
    return _table("", tuple(rows[0]), cells)


def _row(result: Result) -> tuple[str, ...]:
    kind = "passed" if result.passed else "failed" if result.severity == "critical" else "warned"
    mark = f"<span class={kind}>{kind}</span>"
    return mark, escape(result.label), f"{result.measured:g}", range_text(result), escape(result.because)


def _skipped(report: QualityReport) -> list[tuple[str, ...]]:
    return [
        (escape(f"{item.name} ({item.subject})" if item.subject else item.name), escape(item.why))
        for item in report.skipped
    ]


def _table(title: str, heads: tuple[str, ...], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return ""
    heading = f"<h2>{title}</h2>" if title else ""
    return f"{heading}<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"
