"""Processes that still run in the name of a run although their driver is gone."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from headrace_local.errors import ProcessFailedError

__all__ = ["RUN_VARIABLE", "end_survivors"]

RUN_VARIABLE = "HEADRACE_RUN_FOLDER"
"""Names the run in the environment of all its processes, by which a later driver finds those that were left behind."""

_POLL_S = 0.1


async def end_survivors(folder: Path, *, within_s: float) -> None:
    """Kill what runs in the name of the run in ``folder``; returns when it is gone.

    `ProcessFailedError` where it is not within that time: the kernel holds it, or it belongs to somebody else.
    """
    deadline = time.monotonic() + within_s
    while survivors := _processes_of(folder):
        if time.monotonic() > deadline:
            raise ProcessFailedError(
                f"What an earlier attempt of run {folder.name} left behind does not end.",
                why=f"Processes {', '.join(map(str, survivors))} are there {within_s:g} s after SIGKILL.",
                fix="Look at them with ps and end them; then `headrace run get NAME --wait` goes on with the run.",
                code="local.run_survivors",
            )
        for pid in survivors:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(_POLL_S)


def _processes_of(folder: Path) -> list[int]:
    """Processes whose environment names the run, but for this one."""
    mark = f"{RUN_VARIABLE}={folder}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            pid = int(environ.parent.name)
            if pid != os.getpid() and mark in environ.read_bytes().split(b"\0"):
                found.append(pid)
    return found
