"""``headrace run``: batch jobs of the installation in a folder of this machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from headrace_cli.console import err, out
from headrace_cli.run_request import spec_of
from headrace_cli.run_watch import RunWatcher, summary
from headrace_cli.target import DEFAULT_ROOT
from headrace_core.errors import UsageError
from headrace_core.pipeline_run import JOBS, JobName
from headrace_core.run_policy import Run, exit_code_of
from headrace_local.runs import LocalRuns

__all__ = ["app"]

app = typer.Typer(help="Batch jobs: start them, look at them, stop them.", no_args_is_help=True)

_HELP: dict[JobName, str] = {
    "daily": "Make the generation of a day, and of days that got late events.",
    "reprocess": "Recompute rows whose raw records are still there.",
    "compact": "Bring a day's files to a good size.",
    "quality": "Check a day against its expectations.",
    "archive": "Verify and archive days that leave the warehouse.",
    "retention": "Remove what has outlived its time.",
    "erase": "Remove a person's data.",
    "export": "Extract an aggregate of days.",
}

Root = Annotated[Path, typer.Option(help="Folder of the installation on this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON for programs.")]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until the run is finished; its exit code is the command's.")
]
Name = Annotated[str, typer.Argument(help="Name of the run.")]


def _add(job: JobName) -> None:
    """A command for a job: all take the same options, since all make the same resource."""

    @app.command(job, help=_HELP[job])
    def start(
        date: Annotated[str | None, typer.Option(help="The day, UTC: 2026-11-28.")] = None,
        interval: Annotated[
            str | None, typer.Option(help="Days A..B; B is not part of them.", metavar="A..B")
        ] = None,
        name: Annotated[
            str | None, typer.Option(help="Name of the run: started twice, it still runs once.")
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
        ] = False,
        settings: Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="KEY=VALUE", help="A parameter of the job; .KEY is one of the run."
            ),
        ] = None,
        wait: Wait = False,
        root: Root = DEFAULT_ROOT,
        as_json: AsJson = False,
    ) -> None:
        spec = spec_of(job, date=date, interval=interval, dry_run=dry_run, settings=settings or ())
        runs = _runs(root, starting=True)
        _end(runs, runs.submit(spec, name), wait, as_json)


for _job in JOBS:
    _add(_job)


@app.command("list")
def list_runs(root: Root = DEFAULT_ROOT, as_json: AsJson = False) -> None:
    """The runs of this installation, the newest first; of those that cannot be read, why, on standard error."""
    known = _runs(root)
    runs = known.all()
    for error in known.unreadable():
        err().print(str(error))
    if as_json:
        out().print_json(json.dumps(msgspec.to_builtins(runs)))
        return
    table = Table("name", "job", "days", "state", "reason", "attempts")
    for run in runs:
        days = run.spec.days()
        span = str(days[0]) + (f" … {days[-1]}" if len(days) > 1 else "") if days else ""
        table.add_row(run.name, run.spec.job, span, run.state, run.reason, str(len(run.attempts)))
    out().print(table)


@app.command()
def get(name: Name, wait: Wait = False, root: Root = DEFAULT_ROOT, as_json: AsJson = False) -> None:
    """How a run is, and what it did."""
    runs = _runs(root)
    _end(runs, runs.get(name), wait, as_json)


@app.command()
def logs(name: Name, root: Root = DEFAULT_ROOT) -> None:
    """What the attempts of a run wrote."""
    for path in _runs(root).logs(name):
        err().print(f"{path}:")
        if path.exists():
            with path.open("r", encoding="utf-8", errors="replace") as log:
                shutil.copyfileobj(log, sys.stdout)


@app.command()
def cancel(name: Name, wait: Wait = False, root: Root = DEFAULT_ROOT, as_json: AsJson = False) -> None:
    """Stop a run; what it has swapped already stays."""
    runs = _runs(root)
    _end(runs, runs.cancel(name), wait, as_json)


def _runs(root: Path, *, starting: bool = False) -> LocalRuns:
    """The runs of the installation in ``root``; what the environment sets goes before what the folder says."""
    from headrace_local.installation import recall

    known = dict(recall(root).environment)
    if starting and not known and "HEADRACE_S3_BUCKET" not in os.environ:
        raise UsageError(
            "There is no installation to run a job on.",
            why=f"{root} holds none, and no HEADRACE_… variables name one.",
            fix="Start one with `headrace demo`, or name one by --root or its settings.",
            code="no_installation",
        )
    return LocalRuns(root, {**known, **os.environ})


def _end(runs: LocalRuns, run: Run, wait: bool, as_json: bool) -> None:
    """Print a run, after its end where that is wanted; then its exit code is the command's."""
    if wait:
        watcher = RunWatcher(runs.logs, lambda text: err().print(text))
        try:
            run = runs.wait(run.name, tell=watcher.look)
        except KeyboardInterrupt:
            err().print(f"The run goes on. `headrace run cancel {run.name}` stops it.")
            raise typer.Exit(130) from None
    if as_json:
        out().print_json(json.dumps(msgspec.to_builtins(run)))
    else:
        table = Table(show_header=False, box=None)
        for label, value in summary(run).items():
            table.add_row(label, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        out().print(table)
    if wait and (code := exit_code_of(run)):
        raise typer.Exit(code)
