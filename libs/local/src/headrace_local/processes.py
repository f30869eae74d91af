"""Child processes that never outlive their parent: servers of the stack, services, and one-shot tools.

Every child runs in a session of its own with stdin closed and both outputs appended to a log file, and is killed by
the kernel when this process ends in any way. Nothing here belongs to an event loop: an object may be started in one
loop and stopped in another.
"""

import asyncio
import contextlib
import functools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from headrace_local.errors import LocalStackError, ProcessFailedError

__all__ = ["Probe", "ServiceProcess", "SystemUser", "log_tail", "run_tool"]

Probe = Callable[[], Awaitable[bool]]
"""Asked again and again until true; it must not raise for a server that is merely not up yet."""

_POLL_S = 0.02
_PROBE_TIMEOUT_S = 5.0
_FINISHED_GRACE_S = 0.5
_KILLED_WITHIN_S = 30.0
_LOG_TAIL_BYTES = 2_000
_LOG_ROTATE_BYTES = 16 * 1024 * 1024
_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class SystemUser:
    """The user and group a child runs as, and the mask of the capabilities that it keeps in spite of that."""

    uid: int
    gid: int
    capabilities: int = 0


class _Spawner:
    """One thread that forks every child: the kernel ties a child to the thread that forked it, not to the process."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._jobs = queue.Queue(maxsize=64)
        threading.Thread(target=self._run, name="headrace-spawner", daemon=True).start()

    def _run(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                done.set_result(job())
            except BaseException as error:
                done.set_exception(error)

    def spawn(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        done: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, done), timeout=30)
        return done.result(timeout=30)


@functools.lru_cache(maxsize=1)
def _spawner_of(_pid: int) -> _Spawner:
    return _Spawner()


class ServiceProcess:
    """One child process: start until ready, stop politely, kill, pause.

    `env` is added to this process's environment. `ready` is asked until it says true; without it the process counts as
    ready at once. `stop` sends `stop_signal`, and SIGKILL after `grace_s`, or a moment after `finished` says that a child
    which is still there has nothing left to do.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str],
        log_path: Path,
        *,
        cwd: Path | None = None,
        ready: Probe | None = None,
        ready_within_s: float = 60.0,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_s: float = 10.0,
        finished: Callable[[], bool] | None = None,
        user: SystemUser | None = None,
    ) -> None:
        self.name = name
        self.argv = [str(part) for part in argv]
        self.env = dict(env)
        self.log_path = log_path
        self._cwd = cwd
        self._ready = ready
        self._ready_within_s = ready_within_s
        self._stop_signal = stop_signal
        self._grace_s = grace_s
        self._finished = finished
        self._user = user
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running or last child; `LocalStackError` if it was never started."""
        return self._started().pid

    @property
    def alive(self) -> bool:
        """Whether the child runs (a paused one does)."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit status of the last child, negative for a signal; None while it runs or before the first start."""
        return None if self._popen is None else self._popen.poll()

    async def start(self) -> float:
        """Start and wait until ready; returns the seconds that took. `ProcessFailedError` if it does not get there."""
        if self.alive:
            raise LocalStackError(
                f"{self.name} already runs as process {self.pid}.",
                fix="stop it before a new start.",
                code="local.already_running",
            )
        began = time.monotonic()
        self._popen = _spawner_of(os.getpid()).spawn(self._spawn)
        try:
            await self._until_ready(began + self._ready_within_s)
        except BaseException:
            self.kill()
            raise
        return time.monotonic() - began

    async def wait(self, within_s: float | None = None) -> int:
        """Wait for the child to end by itself; its exit status. `TimeoutError` after `within_s`."""
        popen = self._started()
        async with asyncio.timeout(within_s):
            while (code := popen.poll()) is None:  # noqa: ASYNC110 - a child has no awaitable event outside one loop
                await asyncio.sleep(_POLL_S)
        return code

    async def stop(self) -> None:
        """Ask the child to end, insist after the grace period, and return when it is gone."""
        if not self.alive:
            return
        self.resume()
        self._started().send_signal(self._stop_signal)
        deadline = time.monotonic() + self._grace_s
        try:
            while self.returncode is None and time.monotonic() < deadline:
                if self._finished is not None and self._finished():
                    deadline = min(deadline, time.monotonic() + _FINISHED_GRACE_S)
                await asyncio.sleep(_POLL_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the child and all its descendants; returns when the child is gone. `ProcessFailedError` if it stays."""
        if self._popen is None:
            return
        family = [self._popen.pid, *_descendants(self._popen.pid)] if self.alive else []
        for pid in family:
            _signal(pid, signal.SIGKILL)
        # What the child leaves behind in its session, or left if it ended before its own children.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        try:
            self._popen.wait(timeout=_KILLED_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise self.failure(f"is there {_KILLED_WITHIN_S:g} s after SIGKILL") from None

    def pause(self) -> None:
        """SIGSTOP to the child and its descendants: it holds its connections and answers nothing."""
        for pid in (self.pid, *_descendants(self.pid)):
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: the end of `pause`."""
        for pid in (*_descendants(self.pid), self.pid):
            _signal(pid, signal.SIGCONT)

    def failure(self, what: str) -> ProcessFailedError:
        """The error that tells a person what went wrong with this child, with the end of its log."""
        tail = log_tail(self.log_path).strip() or "(nothing)"
        return ProcessFailedError(
            f"{self.name} {what}.",
            why=f"the end of its log says:\n{tail}\n",
            fix=f"the whole log is {self.log_path}.",
            code="local.process_failed",
        )

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise LocalStackError(
                f"{self.name} has no process.",
                why="it was not started.",
                fix="start it first.",
                code="local.not_started",
            )
        return self._popen

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_ROTATE_BYTES:
            self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
        user = self._user or SystemUser(-1, -1)
        numbers = map(str, (os.getpid(), user.uid, user.gid, user.capabilities))
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), *numbers]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the commands are this package's or the caller's own
                launcher + self.argv,
                env={**os.environ, **self.env},
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _until_ready(self, deadline: float) -> None:
        while self._ready is not None:
            if not self.alive:
                raise self.failure(f"ended with status {self.returncode} before it was ready")
            if (left_s := deadline - time.monotonic()) <= 0:
                raise self.failure(f"was not ready within {self._ready_within_s:.0f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, _PROBE_TIMEOUT_S)):
                    if await self._ready():
                        return
            await asyncio.sleep(_POLL_S)


async def run_tool(
    name: str,
    argv: Sequence[str | Path],
    env: Mapping[str, str],
    log_path: Path,
    *,
    cwd: Path | None = None,
    within_s: float = 60.0,
    user: SystemUser | None = None,
) -> None:
    """Run a program to its end; `ProcessFailedError` with its output if it fails or takes longer than `within_s`."""
    tool = ServiceProcess(name, argv, env, log_path, cwd=cwd, user=user)
    await tool.start()
    try:
        code = await tool.wait(within_s)
    except TimeoutError:
        raise tool.failure(f"did not end within {within_s:.0f} s") from None
    finally:
        tool.kill()
    if code != 0:
        raise tool.failure(f"failed with status {code}")


def log_tail(path: Path, max_bytes: int = _LOG_TAIL_BYTES) -> str:
    """The last `max_bytes` of a log file as text; empty if there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - max_bytes))
            return log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _descendants(pid: int) -> list[int]:
    """Process ids of all children, grandchildren and so on of `pid`, parents first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in parentheses may hold anything; the parent's id is the second field after it.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(0), [])
        found += below
        todo += below
    return found
