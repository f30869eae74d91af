"""How the command line talks: progress on a terminal only, tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["err", "out", "progress"]


def out() -> Console:
    """Where results go."""
    return Console(highlight=False)


def err() -> Console:
    """Where progress and remarks go."""
    return Console(stderr=True, highlight=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress bars, shown on a terminal and silent elsewhere."""
    console = err()
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield bars
