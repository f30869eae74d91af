"""Options of `headrace run` become the spec that Kubernetes would be given."""

from __future__ import annotations

import pytest

from headrace_cli.run_request import spec_of
from headrace_core.errors import UsageError
from headrace_core.pipeline_run import DailyParameters, ExportParameters, Interval, Retry, RunSpec


def test_a_day_and_parameters() -> None:
    settings = ["catch_up=false", "quality=report", ".deadlineSeconds=600", ".retry.limit=0"]
    assert spec_of("daily", date="2026-11-28", dry_run=True, settings=settings) == RunSpec(
        job="daily",
        date="2026-11-28",
        dry_run=True,
        daily=DailyParameters(catch_up=False, quality="report"),
        deadline_seconds=600,
        retry=Retry(limit=0),
    )


def test_an_interval_and_text() -> None:
    assert spec_of("export", interval="2026-11-01..2026-12-01", settings=["table=sessions"]) == RunSpec(
        job="export",
        interval=Interval(start="2026-11-01", end="2026-12-01"),
        export=ExportParameters(table="sessions"),
    )
    assert spec_of("erase", settings=["request=2026-11-28"]).erase is not None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"date": "2026-13-01"}, "2026-13-01|month"),
        ({"date": "2026-11-28", "interval": "2026-11-01..2026-11-02"}, "exclude"),
        ({"interval": "2026-11-01"}, "no interval"),
        ({"interval": "2026-11-02..2026-11-01"}, "1 to 62 days"),
        ({}, "needs a date"),
        ({"date": "2026-11-28", "settings": ["catchup=false"]}, "unknown field"),
        ({"date": "2026-11-28", "settings": ["catch_up"]}, "sets nothing"),
        ({"date": "2026-11-28", "settings": ["=1"]}, "sets nothing"),
        ({"date": "2026-11-28", "settings": ["quality=loud"]}, "loud"),
        ({"date": "2026-11-28", "settings": [".job.name=x"]}, "no block"),
        ({"date": "2026-11-28", "settings": [".image=x"]}, "unknown field"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        spec_of("daily", **given)  # type: ignore[arg-type]  # wrong on purpose
    import re

    assert re.search(says, str(refused.value)), str(refused.value)
