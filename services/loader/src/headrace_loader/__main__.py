"""`python -m headrace_loader stage|archive|load` runs one role of the loader; `migrate` brings the warehouse up to date."""

from __future__ import annotations

import argparse
import sys

from headrace_core.errors import ConfigurationError, ExitCode
from headrace_loader.context import run_stage
from headrace_loader.settings import ArchiveSettings, StageSettings
from headrace_loader.stage_lines import ARCHIVE_LINES, STAGE_LINES
from headrace_runtime.process import run
from headrace_runtime.settings import load_settings


def _stage() -> int:
    settings = load_settings(StageSettings)
    return run("stage", settings, lambda life: run_stage(life, settings, STAGE_LINES))


def _archive() -> int:
    settings = load_settings(ArchiveSettings)
    return run("archive", settings, lambda life: run_stage(life, settings, ARCHIVE_LINES))


_ROLES = {"stage": _stage, "archive": _archive}


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace_loader", description=__doc__)
    parser.add_argument("role", choices=sorted(_ROLES))
    try:
        given = parser.parse_args(arguments)
    except SystemExit as ended:
        return ExitCode.USAGE if ended.code else ExitCode.OK
    try:
        return _ROLES[given.role]()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  (logging is not set up yet)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
