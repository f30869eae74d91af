"""`python -m headrace_ingest` runs the service; `python -m headrace_ingest hash-key` makes an entry of the key file."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

import msgspec

from headrace_core.errors import ConfigurationError, ExitCode
from headrace_core.write_keys import key_entry
from headrace_ingest.service import run_service
from headrace_ingest.settings import IngestSettings
from headrace_runtime.process import run
from headrace_runtime.settings import load_settings


def _serve() -> int:
    try:
        settings = load_settings(IngestSettings, os.environ)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  (logging is not set up yet)
        return error.exit_code
    return run("ingest", settings, lambda life: run_service(life, settings))


def _hash_key(pepper_file: Path | None, *, new: bool) -> int:
    """Print the entry of a key; a new key itself goes to standard error, once."""
    key = secrets.token_urlsafe(24) if new else sys.stdin.readline().strip()
    if not key:
        print("Give the key on standard input, or --new.", file=sys.stderr)  # noqa: T201
        return ExitCode.USAGE
    if new:
        print(f"New write key, shown only now: {key}", file=sys.stderr)  # noqa: T201
    pepper = pepper_file.read_bytes().strip() if pepper_file else None
    sys.stdout.buffer.write(msgspec.json.encode(key_entry(key, pepper)) + b"\n")
    return ExitCode.OK


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m headrace_ingest", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="run the service (the default)")
    hashing = commands.add_parser("hash-key", help="print the key file's entry of the key on standard input")
    hashing.add_argument("--new", action="store_true", help="make a new key")
    hashing.add_argument("--pepper-file", type=Path, help="the file of HEADRACE_WRITE_KEYS_PEPPER_FILE")
    given = parser.parse_args(arguments)
    if given.command == "hash-key":
        return _hash_key(given.pepper_file, new=given.new)
    return _serve()


if __name__ == "__main__":
    sys.exit(main())
