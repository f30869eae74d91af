"""Looks after one run on this machine until it is finished: starts attempts, waits between them, stops them.

    python -m headrace_local.run_driver ROOT NAME

What to do next is decided by `headrace_core.run_policy.plan`, as it is on Kubernetes. An attempt is a child process that
dies with its driver; a driver that was killed is replaced by the next one, which finds the attempt lost and goes on.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
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
    attempt_ended,
    attempt_lost,
    concurrency_key,
    plan,
)
from headrace_local.errors import ProcessFailedError, StackInUseError
from headrace_local.folder import FolderLock
from headrace_local.processes import ServiceProcess, log_tail
from headrace_local.run_folder import RunFolder, now_ms, read_runs
from headrace_local.run_survivors import RUN_VARIABLE, end_survivors
from headrace_local.spark_environment import spark_environment

__all__ = ["RunDriver", "holders_of"]

_POLL_S = 0.1
_STOP_GRACE_S = 25.0
_SURVIVORS_WITHIN_S = 30.0
_WHY_BYTES = 600


def holders_of(root: Path, run: Run) -> list[str]:
    """Other active runs of the same concurrency key that were there first, oldest first.

    A run whose record cannot be read holds nothing: its own driver ends by that too.
    """
    key, mine = concurrency_key(run.spec), _age(run)
    others, _unreadable = read_runs(root)
    active = [other for other in others if not other.finished and concurrency_key(other.spec) == key]
    return [other.name for other in sorted(active, key=_age) if other.name != run.name and _age(other) < mine]


def _age(run: Run) -> tuple[int, str]:
    return run.created_ms, run.name


class RunDriver:
    """Drives one run. ``command`` is what starts the job; its words about run and parameters follow.

    A job that is asked to end has ``stop_grace_s`` for it.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        command: Callable[[str], list[str]] | None = None,
        environment: Callable[[Path], Mapping[str, str]] = spark_environment,
        stop_grace_s: float = _STOP_GRACE_S,
    ) -> None:
        self._root = root
        self._folder = RunFolder(root, name)
        self._command = command or _spark_command
        self._environment = environment
        self._stop_grace_s = stop_grace_s
        self._process: ServiceProcess | None = None

    async def drive(self) -> Run:
        """Go on until the run is finished; the run.

        `StackInUseError` where another process drives it, `ProcessFailedError` where what a lost attempt left does not end.
        """
        lock = FolderLock(self._folder.path, detached=True)
        lock.acquire()
        try:
            await self._find_lost()
            while not (run := self._folder.load()).finished:
                holders = () if run.attempts else holders_of(self._root, run)
                await self._do(run, plan(run, now_ms(), holders=holders))
            return run
        finally:
            try:
                if self._process is not None:
                    self._process.kill()
            finally:
                lock.release()

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
                        run, state=step.state, reason=step.reason, message=step.message, ended_ms=now_ms()
                    )
                )

    async def _start(self, run: Run, number: int) -> None:
        """Write down that the attempt begins, then start it: what was started is never unknown."""
        await end_survivors(self._folder.path, within_s=_SURVIVORS_WITHIN_S)
        parameters = self._folder.begin_attempt(run, number)
        begun = AttemptRecord(number=number, started_ms=now_ms())
        run = msgspec.structs.replace(run, state="Running", reason="", attempts=(*run.attempts, begun))
        self._folder.save(run)
        words = ["--run", run.name, "--attempt", str(number), "--parameters", str(parameters)]
        try:
            process = await self._job(run, number, words)
            await process.start()
        except (HeadraceError, OSError) as error:
            self._not_started(run, error)
        else:
            self._process = process

    async def _job(self, run: Run, number: int, words: Sequence[str]) -> ServiceProcess:
        """The process of an attempt, with all that it needs on this machine."""
        folder = self._folder.attempt(number)
        return ServiceProcess(
            run.name,
            [*self._command(run.spec.job), *words],
            {
                **await asyncio.to_thread(self._environment, folder),
                "HEADRACE_TERMINATION_LOG": str(folder / "result.json"),
                RUN_VARIABLE: str(self._folder.path),
            },
            self._folder.log(number),
            grace_s=self._stop_grace_s,
        )

    def _not_started(self, run: Run, error: HeadraceError | OSError) -> None:
        """Write down that the last attempt did not get as far as a process, and why."""
        self._folder.end_attempt(run.attempts[-1].number)
        if isinstance(error, HeadraceError):
            code, why, fix = error.exit_code, " ".join(filter(None, (error.what, error.why))), error.fix
        else:
            code, why = ExitCode.UNAVAILABLE, f"The job could not be started: {error}."
            fix = f"Check disk and permissions of {self._folder.path}."
        self._folder.save(attempt_ended(run, now_ms(), code, why=why, fix=fix or None))

    async def _wait(self, run: Run, step: Wait) -> None:
        """A moment, or what is left until the step's time; an attempt that ends meanwhile is written down."""
        if self._process is not None and not self._process.alive:
            self._ended(run, self._process.returncode)
            return
        if step.reason != run.reason and self._process is None:
            self._folder.save(msgspec.structs.replace(run, reason=step.reason))
        await asyncio.sleep(_POLL_S)

    async def _stop(self, run: Run, reason: StopReason) -> None:
        """Stop the attempt; one that nothing can end is given up, since a stopped run starts no other."""
        code = None
        if self._process is not None:
            with contextlib.suppress(ProcessFailedError):
                await self._process.stop()
            code = self._process.returncode
        last = msgspec.structs.replace(run.attempts[-1], stopped=reason)
        self._ended(msgspec.structs.replace(run, attempts=(*run.attempts[:-1], last)), code)

    def _ended(self, run: Run, exit_code: int | None) -> None:
        """Write down how the last attempt ended."""
        self._process = None
        last = run.attempts[-1]
        result = self._folder.end_attempt(last.number)
        why = fix = None
        if exit_code is None:
            why = "The process did not end, not even by SIGKILL, and was given up."
            fix = f"Look with ps for what has {RUN_VARIABLE}={self._folder.path} in its environment."
        elif exit_code != ExitCode.OK and result is not None and result.error is not None:
            why, fix = " ".join(filter(None, (result.error.what, result.error.why))), result.error.fix
        elif exit_code != ExitCode.OK:
            why = log_tail(self._folder.log(last.number), _WHY_BYTES).strip() or f"exit code {exit_code}"
        self._folder.save(attempt_ended(run, now_ms(), exit_code, why=why, fix=fix, result=result))

    async def _find_lost(self) -> None:
        """An attempt that runs by the record, while nobody drove the run, has ended with its driver."""
        await end_survivors(self._folder.path, within_s=_SURVIVORS_WITHIN_S)
        run = self._folder.load()
        if run.attempts and run.attempts[-1].running:
            result = self._folder.end_attempt(run.attempts[-1].number)
            self._folder.save(attempt_lost(run, now_ms(), result))


def _spark_command(job: str) -> list[str]:
    return [sys.executable, "-m", "headrace_spark", job]


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
