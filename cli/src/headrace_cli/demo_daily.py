"""The end of a demo: the daily job of the day that most events are of, its quality report, and its sessions."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.table import Table

from headrace_cli.console import err, out
from headrace_cli.run_watch import RunWatcher
from headrace_core.errors import ExitCode, HeadraceError, Unavailable
from headrace_core.pipeline_run import DailyParameters, DayResult, RunSpec
from headrace_core.run_policy import Run, exit_code_of
from headrace_core.tables import SESSIONS
from headrace_local.installation import Installation
from headrace_local.runs import LocalRuns
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import StoreSettings, load_settings
from headrace_runtime.warehouse import PostgresConnection

__all__ = ["STOP_WITHIN_S", "DailyEnd", "read_sessions", "run_daily", "run_to_end", "show_daily"]

STOP_WITHIN_S = 70.0
"""How long a job that is stopped may take: its own grace, then SIGKILL and what that may need."""

_WITHIN_S = 1_800.0
_POLL_S = 0.2
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
    spec = RunSpec(job="daily", date=str(day), daily=DailyParameters(catch_up=False))
    run = await run_to_end(runs, spec)
    result = run.result.days[0] if run.result is not None and run.result.days else None
    rows = await read_sessions(installation.stack.endpoints.postgres_dsn, str(day))
    report = None if result is None else await _keep_reports(installation, run, result)
    return DailyEnd(run, result, rows[0][-1] if rows else 0, [row[:-1] for row in rows], report)


async def run_to_end(runs: LocalRuns, spec: RunSpec, *, within_s: float = _WITHIN_S) -> Run:
    """Submit a run and wait for its end; Unavailable where it is late. Who stops waiting has ended the job first.

    Its stack ends with the demo, so no job must be left to go on without it.
    """
    submitting = asyncio.create_task(asyncio.to_thread(runs.submit, spec))
    try:
        name = (await asyncio.shield(submitting)).name
        return await asyncio.wait_for(_ended(runs, name), within_s)
    except TimeoutError as error:
        await _stop(runs, submitting)
        raise Unavailable(
            "The daily job did not end in time and was stopped.",
            why=f"{within_s:g} s passed.",
            fix=f"See `headrace run logs {submitting.result().name}`.",
            code="daily_late",
        ) from error
    except asyncio.CancelledError:
        await _stop(runs, submitting)
        raise


async def _ended(runs: LocalRuns, name: str) -> Run:
    """Tell how the run goes until it is finished; the run."""
    watcher = RunWatcher(runs.logs, lambda text: err().print(text))
    while True:
        run = await asyncio.to_thread(runs.tend, name)
        watcher.look(run)
        if run.finished:
            return run
        await asyncio.sleep(_POLL_S)


async def _stop(runs: LocalRuns, submitting: asyncio.Task[Run]) -> None:
    """Cancel the run; returns when its job has let go, or does not for too long."""
    err().print("Stopping the daily job …")
    with contextlib.suppress(TimeoutError, HeadraceError):
        async with asyncio.timeout(STOP_WITHIN_S):
            name = (await submitting).name
            await asyncio.to_thread(runs.cancel, name)
            await _ended(runs, name)


async def read_sessions(dsn: str, day: str, *, within_s: float = _DEADLINE_S) -> list[tuple[Any, ...]]:
    """The longest sessions of a day, each with the count of all at its end; Unavailable where they do not come in time."""
    connection = await PostgresConnection.connect(
        dsn,
        application_name="headrace-demo",
        connect_timeout_s=within_s,
        statement_timeout_s=within_s,
        lock_timeout_s=within_s,
    )
    try:
        return await connection.execute(_LONGEST, (day, _SHOWN_SESSIONS))
    finally:
        await connection.close()


async def _keep_reports(installation: Installation, run: Run, day: DayResult) -> Path | None:
    """Copy the pages beside the plan into the installation's folder; the one to open first."""
    store = S3ObjectStore.from_settings(load_settings(StoreSettings, installation.environment()))
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
