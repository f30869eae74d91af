"""Stages are measured and told of: text on a terminal, log entries elsewhere."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from headrace_core.clock import ManualClock
from headrace_core.pipeline_run import Stage
from headrace_spark.progress import Progress, bar_of, line_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(out: io.StringIO, *cpu_s: float | None) -> tuple[Progress, ManualClock]:
    clock = ManualClock()
    readings: Iterator[float | None] = iter(cpu_s)
    return Progress(clock, out, lambda: next(readings)), clock


def test_a_stage_is_measured() -> None:
    measured, clock = progress(Terminal(), 1.0, 3.5)
    with measured.stage("dedup") as stage:
        clock.advance(2.0)
        stage.rows = 1_000
    assert measured.stages == [Stage(name="dedup", seconds=2.0, rows=1_000, cpu_seconds=2.5)]


def test_unknown_cpu_seconds_stay_unknown() -> None:
    measured, _ = progress(Terminal(), None, 2.0)
    with measured.stage("dedup"):
        pass
    assert measured.stages[0].cpu_seconds is None


def test_a_failed_stage_is_told_of_too() -> None:
    out = Terminal()
    measured, _ = progress(out, 0.0, 1.0)
    with pytest.raises(ValueError, match="no"), measured.stage("dedup"):
        raise ValueError("no")
    assert [stage.name for stage in measured.stages] == ["dedup"]
    assert "dedup" in out.getvalue()


def test_elsewhere_a_stage_is_a_log_entry_and_there_is_no_bar(caplog: pytest.LogCaptureFixture) -> None:
    out = io.StringIO()
    measured, _ = progress(out, 0.0, 1.0)
    with caplog.at_level(logging.INFO), measured.stage("dedup") as stage:
        stage.rows = 7
        measured.bar(1, 2)
    assert out.getvalue() == ""
    [entry] = caplog.records
    assert (vars(entry)["stage"], vars(entry)["rows"], vars(entry)["cpu_seconds"]) == ("dedup", 7, 1.0)


def test_a_bar_shows_tasks() -> None:
    out = Terminal()
    measured, _ = progress(out)
    measured.bar(1, 2)
    measured.bar(0, 0)
    assert out.getvalue().endswith(bar_of(1, 2))
    assert bar_of(1, 2) == "[############............] 1/2 tasks"
    assert bar_of(3, 3).count("#") == 24


def test_a_line_is_for_people() -> None:
    line = line_of(Stage(name="dedup", seconds=2.04, rows=1_234_567, cpu_seconds=3.0))
    assert line.split() == ["dedup", "1,234,567", "rows", "2.0", "s,", "3.0", "s", "of", "CPU"]
