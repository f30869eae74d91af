"""What the servers of a stack have in common: a name, a folder, fixed ports, and a process that can be restarted."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from headrace_local.errors import LocalStackError, ProcessFailedError
from headrace_local.processes import ServiceProcess

__all__ = ["PID_FILE", "Server"]

PID_FILE = "pid"
"""Name of the file in a server's folder that holds the process id while the server runs."""


class Server(ABC):
    """One server of a stack. It restarts on the same ports and data after `stop` and after `kill`."""

    def __init__(self, name: str, folder: Path, ports: Mapping[str, int]) -> None:
        self.name = name
        self.folder = folder
        self.ports = dict(ports)
        self._process: ServiceProcess | None = None

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """The address that clients use."""

    @abstractmethod
    async def answers(self) -> bool:
        """Whether the server answers a request of its protocol now, and is this one and not a foreigner."""

    @abstractmethod
    async def _prepare(self) -> ServiceProcess:
        """Write configuration, create the data folder at the first start, and say what to run."""

    @property
    def log_path(self) -> Path:
        """Everything the process wrote to its outputs, over all starts."""
        return self.folder / "out.log"

    @property
    def pid(self) -> int:
        """Process id of the running or last process; `LocalStackError` if there was none."""
        return self._started().pid

    @property
    def alive(self) -> bool:
        """Whether the process runs (a paused one does)."""
        return self._process is not None and self._process.alive

    async def start(self) -> float:
        """Start and wait until a client is answered; returns the seconds from process start to ready."""
        if not self.alive:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._process = await self._prepare()
        took_s = await self._started().start()
        (self.folder / PID_FILE).write_text(f"{self.pid}\n")
        return took_s

    async def stop(self) -> None:
        """Stop politely, insist after a grace period; no harm to a server that does not run."""
        if self._process is not None:
            await self._process.stop()
            self._gone()

    def kill(self) -> None:
        """SIGKILL, as a crash would; returns when the process is gone."""
        self._started().kill()
        self._gone()

    def pause(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing until `resume`."""
        self._started().pause()

    def resume(self) -> None:
        """SIGCONT: the end of `pause`."""
        self._started().resume()

    def failure(self) -> ProcessFailedError:
        """The error that says how the process ended, with the end of its log."""
        process = self._started()
        return process.failure(f"ended with status {process.returncode}")

    def _gone(self) -> None:
        """Remove what a process that has ended cannot remove itself."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / PID_FILE).unlink()

    def _started(self) -> ServiceProcess:
        if self._process is None:
            raise LocalStackError(
                f"{self.name} has no process.",
                why="it was not started.",
                fix="start it first.",
                code="local.not_started",
            )
        return self._process
