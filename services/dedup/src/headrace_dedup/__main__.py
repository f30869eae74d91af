"""`python -m headrace_dedup` runs a worker; `--rebuild-index` once after dedup.index was lost."""

from __future__ import annotations

import argparse
import os
import sys

from headrace_core.errors import ConfigurationError
from headrace_dedup.context import run_service
from headrace_dedup.settings import DedupSettings
from headrace_runtime.process import run
from headrace_runtime.settings import load_settings

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace_dedup", description=__doc__)
    parser.add_argument(
        "--rebuild-index",
        action="store_true",
        help="where dedup.index is lost, take what was accepted from events.clean instead of stopping",
    )
    given = parser.parse_args(arguments)
    try:
        settings = load_settings(DedupSettings, os.environ)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  (logging is not set up yet)
        return error.exit_code
    return run("dedup", settings, lambda life: run_service(life, settings, rebuild_index=given.rebuild_index))


if __name__ == "__main__":
    sys.exit(main())
