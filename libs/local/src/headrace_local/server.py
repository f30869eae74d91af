"""What the servers of a stack have in common: a name, a folder, fixed ports, and a process that can be restarted."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from headrace_local.processes import ServiceProcess

__all__ = ["Server"]


class Server(ABC):
    """One server of a stack. It restarts on the same ports and data after `stop` and after `kill`."""

    def __init__(self, name: str, folder: Path, ports: Mapping[str, int]) -> None:
        self.name = name
        self.folder = folder
        self.ports = dict(ports)
        self._process: ServiceProcess | None = None

    @property
    def log_path(self) -> Path:
        """Everything the process wrote to its outputs, over all starts."""
        return self.folder / "out.log"

    @property
    def pid(self) -> int:
        """Process id of the running or last process; `LocalStackError` if there was none."""
        return self._last().pid

    @property
    def alive(self) -> bool:
        """Whether the process runs (a paused one does)."""
        return self._process is not None and self._process.alive

    async def start(self) -> float:
        """Start and wait until a client is answered; returns the seconds from process start to ready."""
        if not self.alive:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._process = await self._prepare()
        return await self._last().start()

    async def stop(self) -> None:
        """Stop politely, insist after a grace period."""
        if self._process is not None:
            await self._process.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash would; returns when the process is gone."""
        self._last().kill()

    def pause(self) -> None:
        """SIGSTOP: the server keeps its connections and answers nothing until `resume`."""
        self._last().pause()

    def resume(self) -> None:
        """SIGCONT: the end of `pause`."""
        self._last().resume()

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """The address that clients use."""

    @abstractmethod
    async def _prepare(self) -> ServiceProcess:
        """Write configuration, create the data folder at the first start, and say what to run."""

    def _last(self) -> ServiceProcess:
        if self._process is None:
            # A process object that was never started explains itself when asked for its id.
            return ServiceProcess(self.name, [], {}, self.log_path)
        return self._process
