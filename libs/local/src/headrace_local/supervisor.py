"""Keeps a stack up until it is told to end: in the foreground, or as a process that outlives its caller.

    python -m headrace_local.supervisor ROOT BROKERS

starts the stack in the background and ends with status 0 when it is ready, or with a message when it is not.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from headrace_core.errors import ExitCode, HeadraceError
from headrace_local.server import Server
from headrace_local.stack import LocalStack

__all__ = ["SUPERVISOR_LOG", "keep_up", "main"]

SUPERVISOR_LOG = "supervisor.log"
"""Name of the file inside the folder of a stack that a background supervisor writes to."""

_POLL_S = 0.25
_MAX_RESTARTS = 5
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Say = Callable[[str], None]


async def keep_up(stack: LocalStack, on_ready: Callable[[LocalStack], None], say: _Say) -> None:
    """Run the stack until a signal asks for the end; a server that dies is restarted, a few times.

    `say` hears what happens to servers. `ProcessFailedError` if a server keeps dying. To be run in the main thread.
    """
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _END_SIGNALS:
        loop.add_signal_handler(number, ending.set)
    try:
        async with stack:
            on_ready(stack)
            restarts: Counter[str] = Counter()
            while not await _is_set(ending):
                for server in stack.servers.values():
                    if not server.alive:
                        restarts[server.name] += 1
                        await _revive(server, restarts[server.name], say)
    finally:
        for number in _END_SIGNALS:
            loop.remove_signal_handler(number)


async def _is_set(event: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), _POLL_S)
    return event.is_set()


async def _revive(server: Server, attempt: int, say: _Say) -> None:
    failure = server.failure()
    if attempt > _MAX_RESTARTS:
        raise failure
    say(str(failure))
    took_s = await server.start()
    say(f"{server.name} is back after {took_s:.1f} s (restart {attempt} of {_MAX_RESTARTS})")


def main(root: Path, brokers: Literal[1, 3]) -> int:
    """Fork; the child keeps the stack up, the parent waits until it is ready or has failed."""
    root.mkdir(parents=True, exist_ok=True)
    readable, writable = os.pipe()
    if os.fork() == 0:
        os.close(readable)
        os.setsid()
        os._exit(_supervise(root, brokers, writable))
    os.close(writable)
    with os.fdopen(readable) as report:
        text = report.read()
    if text == "ready":
        return ExitCode.OK
    sys.stderr.write(text or f"The supervisor ended; its log is {root / SUPERVISOR_LOG}.\n")
    return ExitCode.UNAVAILABLE


def _supervise(root: Path, brokers: Literal[1, 3], report: int) -> int:
    """The life of the background process; `report` is closed once the caller knows how the start went."""

    def tell(text: str) -> None:
        os.write(report, text.encode())
        os.close(report)

    _redirect_output(root / SUPERVISOR_LOG)
    reported = False

    def ready(_stack: LocalStack) -> None:
        nonlocal reported
        reported = True
        tell("ready")

    try:
        stack = LocalStack(root, brokers=brokers, detached=True)
        asyncio.run(keep_up(stack, ready, lambda text: print(text, flush=True)))  # noqa: T201 - into the log
    except HeadraceError as error:
        print(error, flush=True)  # noqa: T201 - the same
        if not reported:
            tell(f"{error}\n")
        return error.exit_code
    return ExitCode.OK


def _redirect_output(log: Path) -> None:
    for path, mode, targets in ((Path(os.devnull), os.O_RDONLY, (0,)), (log, _APPEND, (1, 2))):
        source = os.open(path, mode, 0o644)
        for target in targets:
            os.dup2(source, target)
        os.close(source)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), 3 if sys.argv[2] == "3" else 1))
