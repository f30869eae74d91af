"""What a job says while it runs: a line per stage for people or for programs, and a bar of tasks on a terminal.

On a terminal lines are text; elsewhere they are log entries, since a pod's output is read by programs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from headrace_core.clock import Clock
from headrace_core.pipeline_run import Stage

__all__ = ["Progress", "RunningStage", "bar_of", "line_of"]

_log = logging.getLogger(__name__)
_BAR_WIDTH = 24
_CLEAR_LINE = "\r\x1b[K"


@dataclass(slots=True)
class RunningStage:
    """A stage under way; whoever knows how many rows it handled says so here."""

    name: str
    rows: int | None = None


class Progress:
    """Measures stages and tells of them on ``out``. ``cpu_s`` reads the CPU seconds of driver and workers so far."""

    def __init__(self, clock: Clock, out: TextIO, cpu_s: Callable[[], float | None]) -> None:
        self._clock = clock
        self._out = out
        self._cpu_s = cpu_s
        self.terminal = out.isatty()
        """Whether a person watches, for whom tasks are worth asking Spark for."""
        self.stages: list[Stage] = []
        """The stages that are over, in their order."""

    @contextmanager
    def stage(self, name: str) -> Iterator[RunningStage]:
        """Measure what happens inside. A stage that fails is told of too."""
        running = RunningStage(name)
        began_s, began_cpu_s = self._clock.monotonic_s(), self._cpu_s()
        try:
            yield running
        finally:
            ended_cpu_s = self._cpu_s()
            known = began_cpu_s is not None and ended_cpu_s is not None
            done = Stage(
                name=name,
                seconds=round(self._clock.monotonic_s() - began_s, 3),
                rows=running.rows,
                cpu_seconds=round(ended_cpu_s - began_cpu_s, 2) if known else None,  # type: ignore[operator]  # known
            )
            self.stages.append(done)
            self._tell(done)

    def bar(self, done: int, total: int) -> None:
        """Show how many tasks of Spark's running stages are done; nothing where nobody watches."""
        if self.terminal and total:
            self._out.write(_CLEAR_LINE + bar_of(done, total))
            self._out.flush()

    def _tell(self, stage: Stage) -> None:
        if self.terminal:
            self._out.write(f"{_CLEAR_LINE}{line_of(stage)}\n")
            self._out.flush()
            return
        fields = {"stage": stage.name, "rows": stage.rows, "seconds": stage.seconds}
        _log.info("A stage is over.", extra={**fields, "cpu_seconds": stage.cpu_seconds})


def line_of(stage: Stage) -> str:
    """A stage in one line for people."""
    rows = "" if stage.rows is None else f"{stage.rows:,} rows"
    cpu = "" if stage.cpu_seconds is None else f", {stage.cpu_seconds:.1f} s of CPU"
    return f"{stage.name:<24} {rows:>18}  {stage.seconds:.1f} s{cpu}"


def bar_of(done: int, total: int) -> str:
    """Tasks done of all as a bar."""
    filled = _BAR_WIDTH * done // total
    return f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{total} tasks"
