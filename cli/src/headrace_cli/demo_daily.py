"""The end of a demo: the daily job of the day that most events are of, its quality report, and its sessions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.table import Table

from headrace_cli.console import err, out
from headrace_cli.run_watch import RunWatcher
from headrace_core.errors import ExitCode, Unavailable
from headrace_core.pipeline_run import DailyParameters, DayResult, RunSpec
from headrace_core.run_policy import Run, exit_code_of
from headrace_core.tables import SESSIONS
from headrace_local.installation import Installation
from headrace_local.runs import LocalRuns
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings

__all__ = ["DailyEnd", "run_daily", "show_daily"]

_WITHIN_S = 1_800.0
_DEADLINE_S = 30.0
_SHOWN_SESSIONS = 5
_COLUMNS = ("user", "started", "minutes", "events", "revenue", "entry")
_LONGEST = f"""\
SELECT user_key, to_char(started_ts AT TIME ZONE 'UTC', 'HH24:MI'), round(extract(epoch FROM ended_ts - started_ts) / 60),
       events, round(revenue, 2), entry_path, count(*) OVER ()
FROM {SESSIONS.full_name} WHERE event_date = %s ORDER BY events DESC, started_ts, session_key LIMIT %s"""  # noqa: S608 # a constant


@dataclass(frozen=True, slots=True)
class DailyEnd:
    """How the run ended. ``report`` is the page of the quality report as a file on this machine."""

    run: Run
    day: DayResult | None
    sessions: int
    longest: list[tuple[Any, ...]]
    report: Path | None

    @property
    def code(self) -> ExitCode:
        """The exit code of the run."""
        return ExitCode(exit_code_of(self.run))


async def run_daily(installation: Installation, *, now: datetime | None = None) -> DailyEnd:
    """Run the daily job of the day that holds most of the last 24 hours, as `headrace run daily` does; wait for its end."""
    day = ((now or datetime.now(UTC)) - timedelta(hours=12)).date()
    runs = LocalRuns(installation.root, {**os.environ, **installation.environment()})
    err().print(f"Running the daily job of {day} on Spark …")
    run = await asyncio.to_thread(
        _run_to_end, runs, RunSpec(job="daily", date=str(day), daily=DailyParameters(catch_up=False))
    )
    result = run.result.days[0] if run.result is not None and run.result.days else None
    rows = await _sessions(installation, str(day))
    report = None if result is None else await _keep_reports(installation, run, result)
    return DailyEnd(run, result, rows[0][-1] if rows else 0, [row[:-1] for row in rows], report)


def _run_to_end(runs: LocalRuns, spec: RunSpec) -> Run:
    say: Callable[[str], None] = lambda text: err().print(text)  # noqa: E731
    run = runs.submit(spec)
    try:
        return runs.wait(run.name, within_s=_WITHIN_S, tell=RunWatcher(runs.logs, say).look)
    except TimeoutError as error:
        raise Unavailable(
            "The daily job did not end in time.",
            why=str(error),
            fix=f"See `headrace run logs {run.name}`; it goes on by itself.",
            code="daily_late",
        ) from error


async def _sessions(installation: Installation, day: str) -> list[tuple[Any, ...]]:
    dsn = installation.stack.endpoints.postgres_dsn
    async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=10) as connection:
        cursor = await connection.execute(_LONGEST.encode(), (day, _SHOWN_SESSIONS))
        return await asyncio.wait_for(cursor.fetchall(), _DEADLINE_S)


async def _keep_reports(installation: Installation, run: Run, day: DayResult) -> Path | None:
    """Copy the pages beside the plan into the installation's folder; the one to open first."""
    prefix = "HEADRACE_"
    given = {name.removeprefix(prefix).lower(): value for name, value in installation.environment().items()}
    store = S3ObjectStore.from_settings(StoreSettings.model_validate(given))
    folder = installation.root / "reports" / run.name
    for key in day.reports:
        path = folder / key.partition("/reports/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(await store.get(key, deadline_s=_DEADLINE_S))
    index = folder / "index.html"
    return index if index.exists() else None


def show_daily(end: DailyEnd) -> None:
    """Print it for people."""
    if end.day is None or end.code is not ExitCode.OK:
        out().print(f"The daily job ended as {end.run.state} ({end.run.reason}). {end.run.message}")
        return
    counts = end.day.counts
    rows, removed = counts.get("events_rows", 0), counts.get("rows_removed", 0)
    written = sum(counts.get(f"warehouse_{name}", 0) for name in ("inserted", "deleted", "changed"))
    table = Table(*_COLUMNS, title=f"{end.sessions:,} sessions on {end.day.event_date}, the longest of them")
    for row in end.longest:
        table.add_row(*("" if value is None else str(value) for value in row))
    out().print(table)
    out().print(
        f"The day's generation {end.day.generation} holds {rows:,} rows ({removed:,} repeated ones removed); "
        f"{written:,} rows of the warehouse differed and were written."
    )
    if end.report is not None:
        out().print(f"Quality report: {end.report}")
