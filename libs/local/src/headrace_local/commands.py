"""What the command line does with a stack: bring it up, take it down, say how it is. Every result is a typed value.

These functions block and start event loops of their own; call them from a program's main thread.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from headrace_local.assembly import build_servers, endpoints_of
from headrace_local.endpoints import Endpoints
from headrace_local.errors import LocalStackError, StackInUseError
from headrace_local.folder import Holder, holder_of
from headrace_local.kafka_jvm import KafkaDistribution
from headrace_local.server import PID_FILE, Server
from headrace_local.stack import LocalStack
from headrace_local.state import load_state
from headrace_local.supervisor import SUPERVISOR_LOG, keep_up

__all__ = ["DEFAULT_ROOT", "ServerRow", "ServerState", "down", "endpoints", "status", "up", "up_detached"]

DEFAULT_ROOT = Path(".headrace")
"""Where a stack lives if nobody says otherwise, below the current directory."""

ServerState = Literal["ready", "silent", "stopped"]
"""`silent`: the process is there and does not answer its protocol."""

_START_WITHIN_S = 900.0
_STOP_WITHIN_S = 25.0
_PROBE_WITHIN_S = 3.0
_POLL_S = 0.05


class ServerRow(msgspec.Struct, frozen=True):
    """One server in the answer of `status`; `pid` is None if it does not run."""

    server: str
    state: ServerState
    pid: int | None
    endpoint: str
    log: str


def up(
    root: Path,
    *,
    brokers: Literal[1, 3] = 1,
    on_ready: Callable[[LocalStack], None],
    say: Callable[[str], None],
) -> None:
    """Run the stack in the foreground until SIGINT, SIGTERM or SIGHUP; `on_ready` is called once, when it is up."""
    asyncio.run(keep_up(LocalStack(root, brokers=brokers), on_ready, say))


def up_detached(root: Path, *, brokers: Literal[1, 3] = 1) -> Endpoints:
    """Have a background process run the stack, and return when it is ready; no harm if one does already."""
    root = root.resolve()
    holder = holder_of(root)
    if holder is None:
        # Here and not in the background: a person sees the progress of a download that may take a while.
        KafkaDistribution(os.environ, Path.home()).resolve()
        _start_supervisor(root, brokers)
    elif not holder.detached:
        raise _foreign(root, holder)
    found = endpoints(root)
    assert found is not None
    return found


def down(root: Path) -> bool:
    """End the background stack in `root`; false if none ran. `StackInUseError` if a program of its own runs it."""
    root = root.resolve()
    holder = holder_of(root)
    if holder is None:
        return False
    if not holder.detached:
        raise _foreign(root, holder)
    for number, within_s in ((signal.SIGTERM, _STOP_WITHIN_S), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, number)
        if _released(root, within_s):
            return True
    raise LocalStackError(
        f"Process {holder.pid} does not end.",
        why="it holds the stack even after SIGKILL.",
        fix=f"look at it with ps, and at {root / SUPERVISOR_LOG}.",
        code="local.does_not_end",
    )


def status(root: Path) -> list[ServerRow]:
    """How each server of the stack in `root` is; empty if there never was a stack."""
    root = root.resolve()
    state = load_state(root)
    if state is None:
        return []
    servers = build_servers(root, state, fast=True).values()
    return asyncio.run(_rows(servers, held=holder_of(root) is not None))


def endpoints(root: Path) -> Endpoints | None:
    """Where the stack in `root` answers when it is up; None if there never was one."""
    state = load_state(root.resolve())
    return None if state is None else endpoints_of(state)


async def _rows(servers: Iterable[Server], *, held: bool) -> list[ServerRow]:
    return list(await asyncio.gather(*(_row(server, held=held) for server in servers)))


async def _row(server: Server, *, held: bool) -> ServerRow:
    pid = _pid_of(server) if held else None
    state: ServerState = "stopped"
    if pid is not None:
        state = "ready" if await _answers(server) else "silent"
    return ServerRow(server.name, state, pid, server.endpoint, str(server.log_path))


async def _answers(server: Server) -> bool:
    try:
        async with asyncio.timeout(_PROBE_WITHIN_S):
            return await server.answers()
    except TimeoutError:
        return False


def _pid_of(server: Server) -> int | None:
    try:
        pid = int((server.folder / PID_FILE).read_text())
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    except PermissionError:
        return pid
    return pid


def _start_supervisor(root: Path, brokers: int) -> None:
    command = [sys.executable, "-m", "headrace_local.supervisor", str(root), str(brokers)]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=_START_WITHIN_S, check=False)  # noqa: S603
    if done.returncode != 0:
        raise LocalStackError(
            "The stack did not come up.",
            why=done.stderr.decode(errors="replace").strip(),
            fix=f"the log of the background process is {root / SUPERVISOR_LOG}.",
            code="local.not_up",
        )


def _released(root: Path, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while holder_of(root) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _foreign(root: Path, holder: Holder) -> StackInUseError:
    return StackInUseError(
        f"The stack in {root} belongs to a program that is running.",
        why=f"process {holder.pid} ({holder.program}) started it and ends it.",
        fix="end that program, or use another folder.",
        code="local.in_use",
    )
