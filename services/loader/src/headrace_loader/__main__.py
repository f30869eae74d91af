"""`python -m headrace_loader stage|archive|load` runs one role of the loader.

`migrate` brings the warehouse up to date; `customers` writes who is who into it; `release KEY…` or `release --all` lets set-aside files be tried again.
"""

from __future__ import annotations

import argparse
import os
import sys

from headrace_core.errors import ConfigurationError, ExitCode
from headrace_loader.context import run_stage
from headrace_loader.load_role import customers_command, migrate_command, release_command, run_load_command
from headrace_loader.settings import ArchiveSettings, StageSettings
from headrace_loader.stage_lines import ARCHIVE_LINES, STAGE_LINES
from headrace_runtime.process import run
from headrace_runtime.settings import load_settings


def _stage() -> int:
    settings = load_settings(StageSettings, os.environ)
    return run("stage", settings, lambda life: run_stage(life, settings, STAGE_LINES))


def _archive() -> int:
    settings = load_settings(ArchiveSettings, os.environ)
    return run("archive", settings, lambda life: run_stage(life, settings, ARCHIVE_LINES))


_ROLES = {
    "stage": _stage,
    "archive": _archive,
    "load": run_load_command,
    "migrate": migrate_command,
    "customers": customers_command,
}


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace_loader", description=__doc__)
    commands = parser.add_subparsers(dest="role", required=True)
    for role in sorted(_ROLES):
        commands.add_parser(role)
    release = commands.add_parser("release")
    release.add_argument("keys", nargs="*", help="keys of set-aside files")
    release.add_argument("--all", action="store_true", help="every set-aside file")
    try:
        given = parser.parse_args(arguments)
    except SystemExit as ended:
        return ExitCode.USAGE if ended.code else ExitCode.OK
    try:
        if given.role == "release":
            return release_command(given.keys, everything=given.all)
        return _ROLES[given.role]()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  (logging is not set up yet)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
