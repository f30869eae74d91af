"""One owner per folder: an advisory lock that the kernel drops when its holder ends in any way."""

import fcntl
import os
import sys
from pathlib import Path

import msgspec

from headrace_local.errors import StackInUseError

__all__ = ["FolderLock", "Holder", "holder_of"]

_LOCK_FILE = "lock"


class Holder(msgspec.Struct, frozen=True):
    """The process that runs a stack. `detached`: it is a supervisor that `down` may end."""

    pid: int
    program: str
    detached: bool


class FolderLock:
    """Held from `acquire` to `release`; a second holder of the same folder is refused."""

    def __init__(self, root: Path, *, detached: bool = False) -> None:
        self._root = root
        self._detached = detached
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the folder; `StackInUseError` names the process that has it."""
        fd = os.open(self._root / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise _in_use(self._root) from error
        program = Path(sys.argv[0]).name or "python"
        os.ftruncate(fd, 0)
        os.write(fd, msgspec.json.encode(Holder(os.getpid(), program, self._detached)))
        self._fd = fd

    def release(self) -> None:
        """Give the folder back."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def holder_of(root: Path) -> Holder | None:
    """Who runs the stack in `root` now; None if nobody does."""
    try:
        fd = os.open(root / _LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _read_holder(fd)
    else:
        return None
    finally:
        os.close(fd)


def _read_holder(fd: int) -> Holder:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.DecodeError:
        return Holder(pid=0, program="a process that is just starting", detached=False)


def _in_use(root: Path) -> StackInUseError:
    holder = holder_of(root)
    who = f"process {holder.pid} ({holder.program})" if holder and holder.pid else "another process"
    return StackInUseError(
        f"The stack in {root} is already in use.",
        why=f"{who} runs it.",
        fix="end that one first, or use another folder.",
        code="local.in_use",
    )
