"""Alerts and dashboards speak of metrics that exist, and every alert leads to a page that begins with a command."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from tests.support.chart import CHARTS, Rendered, render

from headrace_cli.__main__ import app
from headrace_core.metrics import METRICS

_RUNBOOKS = CHARTS.parent / "docs" / "runbooks"
_METRIC = re.compile(r"\bheadrace_[a-z_]+")
_COMMAND = re.compile(r"```(?:bash|sh)?\n(?P<first>[^\n]+)\n")
_PAGES = sorted(page for page in _RUNBOOKS.glob("*.md") if page.name != "README.md")
_VERBS = {"get", "describe", "logs", "exec", "top"}
_HISTOGRAM = ("_bucket", "_sum", "_count")


def _alerts() -> list[Rendered]:
    (rule,) = (found for found in render("full") if found["kind"] == "PrometheusRule")
    return [alert for group in rule["spec"]["groups"] for alert in group["rules"]]


def _known(name: str) -> bool:
    kind = next((name.removesuffix(end) for end in _HISTOGRAM if name.endswith(end)), "")
    return name in METRICS or (kind in METRICS and METRICS[kind].kind == "histogram")


def test_alerts_speak_of_metrics_that_exist() -> None:
    for alert in _alerts():
        names = set(_METRIC.findall(alert["expr"]))
        assert names, alert["alert"]
        assert all(_known(name) for name in names), alert["alert"]


def test_labels_in_alerts_are_those_of_the_metric() -> None:
    from_scraping = {"namespace", "component", "pod"}
    for alert in _alerts():
        for name, labels in re.findall(r"(headrace_[a-z_]+)\{([^}]*)\}", alert["expr"]):
            plain = next((name.removesuffix(end) for end in _HISTOGRAM if name.endswith(end)), name)
            used = set(re.findall(r"(\w+)(?:=~?|![~=])\"", labels))
            assert used <= {*_labels(plain), *from_scraping}, alert["alert"]


def _labels(metric: str) -> tuple[str, ...]:
    (found,) = (described.labels for name, described in METRICS.items() if name == metric)
    return found


def test_every_alert_leads_to_a_page_and_every_page_to_an_alert() -> None:
    linked = {alert["annotations"]["runbook_url"].rpartition("/")[2] for alert in _alerts()}
    assert linked == {page.stem for page in _PAGES}
    listed = (_RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert all(f"({page.name})" in listed for page in _PAGES)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_a_page_begins_with_a_command_that_works(page: Path) -> None:
    found = _COMMAND.search(page.read_text(encoding="utf-8"))
    assert found, "a runbook begins with a command"
    words = shlex.split(found["first"])
    assert _is_headrace(words) or _is_kubectl(words), found["first"]


def _is_headrace(words: list[str]) -> bool:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return words[0] == "headrace" and words[1] in commands


def _is_kubectl(words: list[str]) -> bool:
    """Whether it reads only, and names what the chart makes."""
    objects = render("full")
    known = {f"deployment/{f['metadata']['name']}" for f in objects if f["kind"] == "Deployment"}
    components = {f["metadata"]["labels"]["app.kubernetes.io/component"] for f in objects}
    named = [word for word in words if word.startswith("deployment/")]
    selected = re.findall(r"app\.kubernetes\.io/component=([a-z-]+)", " ".join(words))
    return (
        words[:3] == ["kubectl", "-n", "headrace"]
        and words[3] in _VERBS
        and all(name in known for name in named)
        and all(name in components for name in selected)
    )


def test_dashboards_speak_of_metrics_that_exist() -> None:
    boards = [f for f in render("full") if f["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert boards
    for board in boards:
        for content in board["data"].values():
            parsed = json.loads(content)
            expressions = [
                target["expr"] for panel in parsed["panels"] for target in panel.get("targets", [])
            ]
            assert expressions
            assert all(_known(name) for expr in expressions for name in _METRIC.findall(expr))
            assert len({panel["id"] for panel in parsed["panels"]}) == len(parsed["panels"])


def test_monitoring_is_off_unless_asked_for() -> None:
    kinds = {found["kind"] for found in render("minimal")}
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}
    (monitor,) = (found for found in render("full") if found["kind"] == "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert yaml.safe_dump(monitor["spec"]["endpoints"][0]["relabelings"]).count("component") == 2
