"""One owner per folder: an advisory lock that the kernel drops when its holder ends in any way.

It is a lock of the open file (Linux' OFD): unlike with `flock`, whoever looks if a folder is held takes nothing, so that it
keeps no owner out and looks like none to others that look.
"""

import fcntl
import os
import struct
import sys
from pathlib import Path

import msgspec

from headrace_local.errors import StackInUseError

__all__ = ["FolderLock", "Holder", "holder_of"]

_LOCK_FILE = "lock"
_FLOCK = struct.Struct("hhqqi0q")
"""The kernel's `struct flock`: type, whence, start, length, process."""
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


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
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE_FILE)
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
    """Who runs the stack in `root` now; None if nobody does. Nobody notices the question."""
    try:
        fd = os.open(root / _LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        in_the_way = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WHOLE_FILE))[0]
        return None if in_the_way == fcntl.F_UNLCK else _read_holder(fd)
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
