"""Tells a person how a run goes: its states, and each stage that an attempt has finished."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from headrace_core.run_policy import AttemptRecord, Run

__all__ = ["RunWatcher", "summary"]


class RunWatcher:
    """Remembers what was told, so that each thing is told once. ``logs`` finds the logs of a run's attempts."""

    def __init__(self, logs: Callable[[str], list[Path]], say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._told: tuple[object, ...] = ()
        self._failed = 0
        self._read: dict[Path, int] = {}

    def look(self, run: Run) -> None:
        """Tell what is new of a run."""
        for path in self._logs(run.name):
            self._tell_stages(path)
        now = (run.state, run.reason, len(run.attempts))
        if now != self._told:
            self._told = now
            self._tell_failure(run)
            attempt = f", attempt {len(run.attempts)}" if run.attempts else ""
            why = f" ({run.reason})" if run.reason else ""
            self._say(f"{run.name}: {run.state}{attempt}{why}")

    def _tell_failure(self, run: Run) -> None:
        """Why the last attempt failed, once; a finished run says it by its message."""
        last = run.attempts[-1] if run.attempts else None
        if last is None or run.finished or last.number == self._failed or last.why is None:
            return
        self._failed = last.number
        self._say(f"  attempt {last.number} failed: {last.why}" + (f" Fix: {last.fix}" if last.fix else ""))

    def _tell_stages(self, path: Path) -> None:
        try:
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                new = log.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(whole)
        for line in whole.splitlines():
            if b'"stage"' in line and (stage := _stage(line)):
                self._say(stage)


def _stage(line: bytes) -> str | None:
    """A log entry of a finished stage in words."""
    try:
        entry = json.loads(line)
        rows = "" if entry["rows"] is None else f"{entry['rows']:,} rows"
        return f"  {entry['stage']:<28} {rows:>18} {entry['seconds']:>8.1f} s"
    except (ValueError, KeyError, TypeError):
        return None


def _end(attempt: AttemptRecord) -> str:
    if attempt.running:
        return "running"
    code = "no exit code" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
    return f"{code}, {attempt.failure or 'ok'}"


def summary(run: Run) -> dict[str, object]:
    """What a person wants to know of a run, by name."""
    shown: dict[str, object] = {
        "name": run.name,
        "job": run.spec.job,
        "state": run.state,
        "reason": run.reason,
        "created": datetime.fromtimestamp(run.created_ms / 1000, UTC).isoformat(timespec="seconds"),
    }
    if run.message:
        shown["message"] = run.message
    for attempt in run.attempts:
        shown[f"attempt {attempt.number}"] = _end(attempt)
        shown |= {
            f"attempt {attempt.number} {name}": text
            for name, text in (("why", attempt.why), ("fix", attempt.fix))
            if text
        }
    if run.result is not None:
        shown |= {f"day {day.event_date}": msgspec.to_builtins(day) for day in run.result.days}
        shown |= {name: value for name, value in run.result.counts.items() if name not in shown}
    return shown
