"""`python -m headrace_spark JOB --run NAME --attempt N --parameters spec.json` runs one attempt of a batch job.

The result stands on standard output, in the object store under runs/<run>/attempt=N/, and cut in the termination log. Exit
codes: 0 done, 64 usage, 65 bad data, 69 a dependency is away, 70 a defect, 75 try again later, 78 configuration.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from headrace_core.clock import SystemClock
from headrace_core.errors import BadData, ExitCode, HeadraceError, UsageError
from headrace_core.pipeline_run import RunSpec, check_run_name, decode_spec
from headrace_runtime.process import run
from headrace_runtime.settings import load_settings
from headrace_spark.outcome import Attempt
from headrace_spark.registry import REGISTRY, find_job
from headrace_spark.settings import SparkSettings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headrace_spark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Settings are HEADRACE_… variables: docs/configuration.md; the contract: docs/services/spark.md.",
    )
    parser.add_argument("job", metavar="JOB", nargs="?", help=f"one of: {', '.join(REGISTRY)}")
    parser.add_argument("--run", metavar="NAME", help="name of the run: lower-case letters, digits, hyphens")
    parser.add_argument("--attempt", metavar="N", type=int, help="number of the attempt, from 1")
    parser.add_argument("--parameters", metavar="FILE", type=Path, help="the spec of the run as JSON")
    parser.add_argument("--list-jobs", action="store_true", help="print the names of the jobs")
    return parser


def _read_spec(path: Path, job: str) -> RunSpec:
    """The spec in a file; UsageError where it is none, or another job's."""
    try:
        spec = decode_spec(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"The parameters {path} cannot be read.",
            why=str(error),
            fix="Name a file with the run's spec.",
            code="usage",
        ) from error
    except BadData as error:
        raise UsageError(
            f"The parameters {path} are no spec of a run.", why=error.why, fix=error.fix, code=error.code
        ) from error
    if spec.job != job:
        raise UsageError(
            f"The command line says {job}, the parameters say {spec.job}.",
            why="A run does the job that its spec names.",
            fix="Correct the one that is wrong.",
            code="job_differs",
        )
    return spec


def _attempt(given: argparse.Namespace, spec: RunSpec) -> Attempt:
    missing = [f"--{name}" for name in ("run", "attempt") if getattr(given, name) is None]
    if missing or given.attempt < 1:
        why = (
            f"{', '.join(missing)} is missing."
            if missing
            else f"--attempt is {given.attempt}; the first is 1."
        )
        raise UsageError(
            "Which attempt of which run is this?", why=why, fix="Give --run NAME --attempt N.", code="usage"
        )
    try:
        name = check_run_name(given.run)
    except BadData as error:
        raise UsageError(error.what, why=error.why, fix=error.fix, code=error.code) from error
    return Attempt(name, given.attempt, spec.job, spec.dry_run, SystemClock().now_ms())


def _run(given: argparse.Namespace) -> int:
    if given.job is None or given.parameters is None:
        missing = "a job" if given.job is None else "--parameters"
        raise UsageError(
            f"The command line lacks {missing}.",
            fix="`python -m headrace_spark --help` shows it whole.",
            code="usage",
        )
    job = find_job(given.job)
    spec = _read_spec(given.parameters, given.job)
    attempt = _attempt(given, spec)
    settings = load_settings(SparkSettings, os.environ)
    from headrace_spark.attempt_run import (
        run_attempt,
    )  # Spark's modules take a second that a wrong command need not

    return run("spark", settings, lambda life: run_attempt(life, settings, attempt, spec, job))


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    try:
        given = _parser().parse_args(arguments)
    except SystemExit as ended:
        return ExitCode.USAGE if ended.code else ExitCode.OK
    if given.list_jobs:
        print("\n".join(REGISTRY))  # noqa: T201 - the answer of a program
        return ExitCode.OK
    try:
        return _run(given)
    except HeadraceError as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is not set up yet
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
