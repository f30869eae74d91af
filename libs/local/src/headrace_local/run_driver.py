"""Looks after one run on this machine until it is finished: starts attempts, waits between them, stops them.

    python -m headrace_local.run_driver ROOT NAME

What to do next is decided by `headrace_core.run_policy.plan`, as it is on Kubernetes. An attempt is a child process that
dies with its driver; a driver that was killed is replaced by the next one, which finds the attempt lost and goes on.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from headrace_core.errors import ExitCode, HeadraceError
from headrace_core.run_policy import (
    AttemptRecord,
    Evict,
    Finish,
    Run,
    Start,
    Step,
    Stop,
    StopReason,
    Wait,
    concurrency_key,
    failure_class,
    plan,
)
from headrace_local.errors import StackInUseError
from headrace_local.folder import FolderLock
from headrace_local.processes import ServiceProcess, log_tail
from headrace_local.run_folder import RunFolder, run_folders
from headrace_local.spark_environment import spark_environment

__all__ = ["RUN_VARIABLE", "RunDriver", "holders_of"]

RUN_VARIABLE = "HEADRACE_RUN_FOLDER"
"""Names the run in the environment of all its processes, by which a later driver finds those that were left behind."""

_POLL_S = 0.1
_STOP_GRACE_S = 25.0
_LOCK_TRIES = 10
_WHY_BYTES = 600


def holders_of(root: Path, run: Run) -> list[str]:
    """Other active runs of the same concurrency key that were there first, oldest first."""
    others = [folder.load() for folder in run_folders(root) if folder.name != run.name]
    key, mine = concurrency_key(run.spec), (run.created_ms, run.name)
    active = [other for other in others if not other.finished and concurrency_key(other.spec) == key]
    return [other.name for other in sorted(active, key=_age) if _age(other) < mine]


def _age(run: Run) -> tuple[int, str]:
    return run.created_ms, run.name


class RunDriver:
    """Drives one run. ``command`` is what starts the job; its words about run and parameters follow."""

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        command: Callable[[str], list[str]] | None = None,
        environment: Callable[[Path], Mapping[str, str]] = spark_environment,
    ) -> None:
        self._root = root
        self._folder = RunFolder(root, name)
        self._command = command or _spark_command
        self._environment = environment
        self._process: ServiceProcess | None = None

    async def drive(self) -> Run:
        """Go on until the run is finished; the run. `StackInUseError` where another process drives it."""
        lock = await self._acquire()
        try:
            self._find_lost()
            while not (run := self._folder.load()).finished:
                holders = () if run.attempts else holders_of(self._root, run)
                await self._do(run, plan(run, _now_ms(), holders=holders))
            return run
        finally:
            if self._process is not None:
                self._process.kill()
            lock.release()

    def settle(self) -> None:
        """Write down that the running attempt is lost, where nobody drives the run; nothing else is done."""
        lock = FolderLock(self._folder.path, detached=True)
        with contextlib.suppress(StackInUseError):
            lock.acquire()
            try:
                self._find_lost()
            finally:
                lock.release()

    async def _acquire(self) -> FolderLock:
        """The lock of the run. Whoever looks whether it is driven holds it for a moment: that is no other driver."""
        lock = FolderLock(self._folder.path, detached=True)
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(StackInUseError):
                lock.acquire()
                return lock
            await asyncio.sleep(_POLL_S)
        lock.acquire()
        return lock

    async def _do(self, run: Run, step: Step) -> None:
        match step:
            case Start(number):
                await self._start(run, number)
            case Stop(reason):
                await self._stop(run, reason)
            case Evict(names):
                for name in names:
                    RunFolder(self._root, name).ask_to_cancel()
                await asyncio.sleep(_POLL_S)
            case Wait():
                await self._wait(run, step)
            case Finish():
                self._folder.save(
                    msgspec.structs.replace(
                        run, state=step.state, reason=step.reason, message=step.message, ended_ms=_now_ms()
                    )
                )

    async def _start(self, run: Run, number: int) -> None:
        """Write down that the attempt begins, then start it: what was started is never unknown."""
        _end_survivors(self._folder.path)
        parameters = self._folder.begin_attempt(run, number)
        begun = AttemptRecord(number=number, started_ms=_now_ms())
        self._folder.save(
            msgspec.structs.replace(run, state="Running", reason="", attempts=(*run.attempts, begun))
        )
        folder = self._folder.attempt(number)
        words = ["--run", run.name, "--attempt", str(number), "--parameters", str(parameters)]
        self._process = ServiceProcess(
            run.name,
            [*self._command(run.spec.job), *words],
            {
                **await asyncio.to_thread(self._environment, folder),
                "HEADRACE_TERMINATION_LOG": str(folder / "result.json"),
                RUN_VARIABLE: str(self._folder.path),
            },
            self._folder.log(number),
            grace_s=_STOP_GRACE_S,
        )
        await self._process.start()

    async def _wait(self, run: Run, step: Wait) -> None:
        """A moment, or what is left until the step's time; an attempt that ends meanwhile is written down."""
        if self._process is not None and not self._process.alive:
            self._ended(run, self._process.returncode)
            return
        if step.reason != run.reason and self._process is None:
            self._folder.save(msgspec.structs.replace(run, reason=step.reason))
        await asyncio.sleep(_POLL_S)

    async def _stop(self, run: Run, reason: StopReason) -> None:
        if self._process is not None:
            await self._process.stop()
        last = msgspec.structs.replace(run.attempts[-1], stopped=reason)
        run = msgspec.structs.replace(run, attempts=(*run.attempts[:-1], last))
        self._ended(run, None if self._process is None else self._process.returncode)

    def _ended(self, run: Run, exit_code: int | None) -> None:
        """Write down how the last attempt ended."""
        self._process = None
        last = run.attempts[-1]
        result = self._folder.end_attempt(last.number)
        failed = exit_code != ExitCode.OK
        why = None
        if failed and exit_code is None:
            why = "The process is gone, and nobody saw it end."
        elif failed and result is not None and result.error is not None:
            why = " ".join(filter(None, (result.error.what, result.error.why)))
        elif failed:
            why = log_tail(self._folder.log(last.number), _WHY_BYTES).strip() or f"exit code {exit_code}"
        ended = msgspec.structs.replace(
            last,
            ended_ms=_now_ms(),
            exit_code=exit_code,
            failure=failure_class(exit_code) if failed else None,
            why=why,
        )
        self._folder.save(
            msgspec.structs.replace(
                run, state="Pending", attempts=(*run.attempts[:-1], ended), result=result or run.result
            )
        )

    def _find_lost(self) -> None:
        """An attempt that runs by the record, while nobody drove the run, has ended with its driver."""
        _end_survivors(self._folder.path)
        run = self._folder.load()
        if run.attempts and run.attempts[-1].running:
            self._ended(msgspec.structs.replace(run, reason="DriverLost"), None)


def _end_survivors(folder: Path) -> None:
    """Kill what runs in the name of this run although its driver is gone; returns when it is."""
    while survivors := _processes_of(folder):
        for pid in survivors:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


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


def _spark_command(job: str) -> list[str]:
    return [sys.executable, "-m", "headrace_spark", job]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(root: Path, name: str) -> int:
    """Drive the run; status 0 when it is finished in any way, or another process drives it."""
    try:
        asyncio.run(RunDriver(root, name).drive())
    except StackInUseError:
        return ExitCode.OK
    except HeadraceError as error:
        print(error, file=sys.stderr)  # noqa: T201 - into the driver's log
        return error.exit_code
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
