"""The commands of ``headrace identity``."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from headrace_cli.console import err, out, progress
from headrace_core.errors import ExitCode, UsageError

__all__ = ["app"]

app = typer.Typer(help="Who is who: customers from edges.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON for programs.")]
_INTERRUPTED = 130
"""A shell's exit code of a command that Ctrl-C ended."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@app.command("sync")
def sync_mapping(
    *,
    url: Annotated[
        str,
        typer.Option(
            envvar="HEADRACE_IDENTITY_URL", show_envvar=True, help="SQLAlchemy URL of the mapping database."
        ),
    ],
    query: Annotated[
        str,
        typer.Option(
            envvar="HEADRACE_IDENTITY_QUERY",
            show_envvar=True,
            help="SELECT with kind, alias, customer_id, and maybe op, confidence, valid_from.",
        ),
    ],
    watermark_column: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_IDENTITY_WATERMARK_COLUMN",
            show_envvar=True,
            help="Column of the query to read on from; without it all is read each time.",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Whose word the edges are; each takes back only its own.")
    ] = "mapping",
    overlap: Annotated[
        float, typer.Option(min=0, help="Read so many seconds (of a number: units) again, for late commits.")
    ] = 900.0,
    full: Annotated[bool, typer.Option("--full", help="Read from the beginning.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Read and count; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a customer mapping into identity.edges, from where the last sync ended."""
    from headrace_cli.identity_sync import SyncOptions, SyncResult, connected, sync
    from headrace_cli.mapping_table import MappingTable

    if not _SLUG.fullmatch(source):
        raise UsageError(
            f"{source!r} is no name of a source.",
            why="It is part of keys: lower-case letters, digits, - and _.",
            fix="Give another --source.",
            code="usage",
        )
    options = SyncOptions(MappingTable(url, query, watermark_column), source, overlap, full, dry_run)

    async def run() -> SyncResult:
        with progress() as bars:
            task = bars.add_task("rows", total=None)
            async with connected() as ports:
                return await sync(options, ports, lambda rows: bars.advance(task, rows))

    try:
        result = asyncio.run(run())
    except KeyboardInterrupt:
        err().print("The sync was stopped. What it wrote stays; the next one goes on from there.")
        raise typer.Exit(_INTERRUPTED) from None
    _print(result, as_json)
    if result.chained:
        err().print(
            f"{result.chained} customers are user ids of the mapping too, and lead on to other customers. If those are "
            "two kinds of numbers, give customers a prefix in the query."
        )
    if result.refused:
        err().print(
            "Rows were refused; the watermark waits for them. Put them or the query right, then sync again."
        )
        raise typer.Exit(ExitCode.BAD_DATA)


@app.command("show")
def show_alias(
    alias: Annotated[str, typer.Argument(help="A user id or an anonymous id.")], as_json: AsJson = False
) -> None:
    """Say who an alias is, and why."""
    from headrace_cli.identity_show import explain, read_index

    found = explain(asyncio.run(read_index()), alias)
    if as_json:
        out().print_json(msgspec.json.encode(found).decode())
        return
    if not found:
        out().print("No edge names it.")
    for each in found:
        out().print(f"{each.user_key}: customer {each.customer_id or 'none'} ({each.why})")
        out().print("  " + " → ".join(each.chain))
        table = Table("op", "customer", "source", "confidence", "valid from (µs)")
        for edge in each.edges:
            table.add_row(
                edge.op,
                edge.customer_id or "(all)",
                edge.source,
                f"{edge.confidence:g}",
                str(edge.valid_from),
            )
        out().print(table)


def _print(result: msgspec.Struct, as_json: bool) -> None:
    if as_json:
        out().print_json(msgspec.json.encode(result).decode())
        return
    table = Table(show_header=False, box=None)
    for name, value in msgspec.structs.asdict(result).items():
        table.add_row(name.replace("_", " "), str(value))
    out().print(table)
