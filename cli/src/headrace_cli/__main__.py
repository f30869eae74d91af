"""The ``headrace`` command. Results go to standard output, progress and remarks to standard error; exit codes are stable."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.table import Table

from headrace_cli import identity, run_commands
from headrace_cli.console import err, out
from headrace_cli.target import DEFAULT_ROOT, DEFAULT_STACK, find_target
from headrace_core.errors import ExitCode, HeadraceError, UsageError

app = typer.Typer(
    name="headrace",
    help="Customer events, exactly once, from HTTP to the warehouse.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Root = Annotated[Path, typer.Option(help="Folder of the installation on this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON for programs.")]


@app.command()
def demo(
    events: Annotated[int, typer.Option(min=1, help="How many events to send.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed of the traffic: the same seed sends the same events.")] = 1,
    root: Root = DEFAULT_ROOT,
    leave: Annotated[
        bool, typer.Option("--exit", help="End when all is counted; 0 only if the counts agree.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the data of an earlier demo in the folder.")
    ] = False,
    daily: Annotated[
        bool, typer.Option("--daily/--no-daily", help="Run the daily job on Spark in the end.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Start everything, send realistic traffic, show where every event went, make the day's sessions."""
    from headrace_cli.demo import DemoOptions, run_demo

    options = DemoOptions(root.resolve(), events, seed, leave, as_json, fresh=not keep, daily=daily)
    raise typer.Exit(asyncio.run(run_demo(options)))


@app.command()
def replay(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="CSV or NDJSON, also .gz or .zst.")
    ],
    mapping: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Mapping file (docs/mapping.md).")
    ],
    root: Root = DEFAULT_ROOT,
    url: Annotated[str | None, typer.Option(help="Ingest service, if not the one in --root.")] = None,
    key: Annotated[str | None, typer.Option(envvar="HEADRACE_WRITE_KEY", help="Write key for --url.")] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Show what the mapping makes of the first rows; send nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send the rows of legacy files, read by a mapping. Sent twice, they still arrive once."""
    from headrace_cli import replay as replaying

    spec = replaying.load_mapping(mapping)
    if dry_run:
        _print(msgspec.to_builtins(replaying.preview(files, spec)), as_json)
        return
    target = find_target(root, spec.source, url=url, key=key, zone=spec.zone)
    replaying.install_mapping(mapping, spec, target)
    _print(msgspec.to_builtins(asyncio.run(replaying.replay(files, spec, target))), as_json)


@app.command()
def doctor(root: Root = DEFAULT_ROOT, as_json: AsJson = False) -> None:
    """Check every dependency; say what is wrong, why, and how to fix it."""
    from headrace_cli.doctor import examine

    findings = asyncio.run(examine(_services(root)))
    if as_json:
        out().print_json(json.dumps(msgspec.to_builtins(findings)))
    else:
        for finding in findings:
            out().print(f"{'ok  ' if finding.ok else 'BAD '} {finding.name:<14} {finding.what}")
            if not finding.ok:
                out().print(f"     why: {finding.why}\n     fix: {finding.fix}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(ExitCode.UNAVAILABLE)


@app.command()
def check(
    ingest_url: Annotated[str, typer.Option(help="Where events are sent to.")],
    api_url: Annotated[str, typer.Option(help="Where the inspection API answers.")],
    key: Annotated[str, typer.Option(envvar="HEADRACE_WRITE_KEY", help="Write key of any source.")],
    within_s: Annotated[
        float, typer.Option(min=1.0, help="Longest way to the warehouse, in seconds.")
    ] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Send one event and follow it to its row in the warehouse; 0 only if it arrives."""
    from headrace_cli.check import check_installation

    found = asyncio.run(check_installation(ingest_url, api_url, key, within_s=within_s))
    _print(msgspec.to_builtins(found), as_json)


def _services(root: Path) -> dict[str, str]:
    """The services of the installation in ``root``; its servers stand in where the environment names none."""
    from headrace_local.installation import recall

    known = recall(root)
    for name, value in known.environment.items():
        os.environ.setdefault(name, value)
    return dict(known.service_urls)


app.add_typer(run_commands.app, name="run")

local = typer.Typer(
    help="The embedded Kafka, S3 server and PostgreSQL, without the services.", no_args_is_help=True
)
app.add_typer(local, name="local")
StackRoot = Annotated[Path, typer.Option(help="Folder of the stack on this machine.")]


@local.command("up")
def local_up(
    root: StackRoot = DEFAULT_STACK,
    brokers: Annotated[int, typer.Option(help="Kafka brokers: 1, or 3 with replication.")] = 1,
    foreground: Annotated[
        bool, typer.Option(help="Run here until Ctrl-C instead of in the background.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start the servers and print the settings that services find them by."""
    from headrace_local import commands

    if brokers not in (1, 3):
        raise UsageError(
            f"A stack has 1 or 3 brokers, not {brokers}.", fix="Give --brokers 1 or 3.", code="usage"
        )
    count: Literal[1, 3] = 3 if brokers == 3 else 1
    if foreground:
        commands.up(
            root,
            brokers=count,
            on_ready=lambda stack: _print_environment(stack.environment(), as_json),
            say=lambda text: err().print(text),
        )
    else:
        _print_environment(commands.up_detached(root, brokers=count).environment(), as_json)


@local.command("down")
def local_down(root: StackRoot = DEFAULT_STACK, as_json: AsJson = False) -> None:
    """Stop the servers; their data stay."""
    from headrace_local import commands

    _print({"stopped": commands.down(root)}, as_json)


@local.command("status")
def local_status(root: StackRoot = DEFAULT_STACK, as_json: AsJson = False) -> None:
    """Say how each server is."""
    from headrace_local import commands

    rows = commands.status(root)
    if as_json:
        out().print_json(json.dumps(msgspec.to_builtins(rows)))
    elif not rows:
        out().print("There is no stack here. `headrace local up` makes one.")
    else:
        table = Table("server", "state", "pid", "endpoint", "log")
        for row in rows:
            table.add_row(row.server, row.state, str(row.pid or ""), row.endpoint, row.log)
        out().print(table)


app.add_typer(identity.app, name="identity")

topics = typer.Typer(help="The topics of an installation.", no_args_is_help=True)
app.add_typer(topics, name="topics")


@topics.command("create")
def create(
    replication: Annotated[int, typer.Option(min=1, max=5, help="Replicas of each partition.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing, with HEADRACE_PARTITIONS partitions at HEADRACE_KAFKA_BOOTSTRAP."""
    from headrace_local.installation import create_topics
    from headrace_runtime.kafka import KafkaConnection
    from headrace_runtime.settings import KafkaSettings, load_settings

    settings = load_settings(KafkaSettings, os.environ)
    connection = KafkaConnection.from_settings(settings, client_id="headrace-topics")
    created = asyncio.run(create_topics(connection, settings.partitions, replication))
    _print({"created": sorted(created)}, as_json)


def _print_environment(environment: Mapping[str, str], as_json: bool) -> None:
    """Settings as JSON, or as lines for a shell."""
    if as_json:
        out().print_json(json.dumps(dict(environment)))
        return
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}")


def _print(result: object, as_json: bool) -> None:
    """A result as JSON, or as lines of name and value."""
    if as_json or not isinstance(result, dict):
        out().print_json(json.dumps(result))
        return
    table = Table(show_header=False, box=None)
    for name, value in result.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
        table.add_row(name.replace("_", " "), shown)
    out().print(table)


def main() -> None:
    """Run the command; errors end with the exit code that they ask for."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says comes back as an error with a fix
    try:
        app()
    except BaseExceptionGroup as group:
        _leave(_first(group))
    except HeadraceError as error:
        _leave(error)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _leave(error: BaseException) -> None:
    if isinstance(error, HeadraceError):
        err().print(f"{error.what}")
        if error.why:
            err().print(f"Why: {error.why}")
        if error.fix:
            err().print(f"Fix: {error.fix}")
        sys.exit(error.exit_code)
    raise error


if __name__ == "__main__":
    main()
