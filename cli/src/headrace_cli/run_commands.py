"""``headrace run``: batch jobs of an installation, in a folder of this machine or on Kubernetes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from headrace_cli.console import err, out
from headrace_cli.run_places import RunPlace, open_place
from headrace_cli.run_request import spec_of
from headrace_cli.run_watch import RunWatcher, summary
from headrace_cli.target import DEFAULT_ROOT
from headrace_core.pipeline_run import JOBS, JobName
from headrace_core.run_policy import Run, exit_code_of

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
On = Annotated[
    str,
    typer.Option(
        envvar="HEADRACE_RUN_BACKEND", metavar="PLACE", help="Where: local, or kubernetes (as PipelineRuns)."
    ),
]
Result = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="With --wait: write the run as it ended to a file, as JSON."),
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
        on: On = "local",
        result: Result = None,
        as_json: AsJson = False,
    ) -> None:
        spec = spec_of(job, date=date, interval=interval, dry_run=dry_run, settings=settings or ())
        runs = open_place(on, root, starting=True)
        _end(runs, runs.submit(spec, name), wait, as_json, result)


for _job in JOBS:
    _add(_job)


@app.command("list")
def list_runs(root: Root = DEFAULT_ROOT, on: On = "local", as_json: AsJson = False) -> None:
    """The runs of this installation, the newest first; of those that cannot be read, why, on standard error."""
    known = open_place(on, root)
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
def get(
    name: Name,
    wait: Wait = False,
    root: Root = DEFAULT_ROOT,
    on: On = "local",
    result: Result = None,
    as_json: AsJson = False,
) -> None:
    """How a run is, and what it did."""
    runs = open_place(on, root)
    _end(runs, runs.get(name), wait, as_json, result)


@app.command()
def logs(name: Name, root: Root = DEFAULT_ROOT, on: On = "local") -> None:
    """What the attempts of a run wrote."""
    for title, text in open_place(on, root).logs(name):
        err().print(f"{title}:")
        sys.stdout.write(text.decode("utf-8", errors="replace"))


@app.command()
def rerun(
    name: Name,
    key: Annotated[
        str | None, typer.Option(help="The same key is the same rerun, however often it is asked for.")
    ] = None,
    wait: Wait = False,
    root: Root = DEFAULT_ROOT,
    on: On = "local",
    as_json: AsJson = False,
) -> None:
    """Do the work of a run once more, as a run of its own."""
    runs = open_place(on, root, starting=True)
    _end(runs, runs.rerun(name, key), wait, as_json)


@app.command()
def cancel(
    name: Name, wait: Wait = False, root: Root = DEFAULT_ROOT, on: On = "local", as_json: AsJson = False
) -> None:
    """Stop a run; what it has swapped already stays."""
    runs = open_place(on, root)
    _end(runs, runs.cancel(name), wait, as_json)


def _end(runs: RunPlace, run: Run, wait: bool, as_json: bool, result: Path | None = None) -> None:
    """Print a run, after its end where that is wanted; then its exit code is the command's."""
    if wait:
        watcher = RunWatcher(runs.log_files, lambda text: err().print(text))
        try:
            run = runs.wait(run.name, watcher.look)
        except KeyboardInterrupt:
            err().print(f"The run goes on. `headrace run cancel {run.name}` stops it.")
            raise typer.Exit(130) from None
        if result is not None:
            result.write_bytes(msgspec.json.encode(run))
    if as_json:
        out().print_json(json.dumps(msgspec.to_builtins(run)))
    else:
        table = Table(show_header=False, box=None)
        for label, value in summary(run).items():
            table.add_row(label, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        out().print(table)
    if wait and (code := exit_code_of(run)):
        raise typer.Exit(code)
