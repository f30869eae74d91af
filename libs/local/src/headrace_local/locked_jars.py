"""The jars of a lock that ships with this package, fetched once into the cache."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from headrace_local.fetch import fetch_jars
from headrace_local.lockfile import parse_lock
from headrace_local.maven import choose_repository

__all__ = ["locked_jars"]


def locked_jars(lock: str, folder: Path, environ: Mapping[str, str], home: Path) -> list[Path]:
    """The jars of ``lock`` (a file beside this module) in ``folder``, fetched where they are missing. Blocks.

    `FetchError` if a jar cannot be had.
    """
    jars = parse_lock(resources.files("headrace_local").joinpath(lock).read_text())
    return fetch_jars(jars, folder, lambda: choose_repository(environ, home))
