"""Becomes the program of a child process after tying its life to the parent's. Run by path, never imported.

    python -I -S launch.py PARENT_PID UID GID CAPABILITIES COMMAND...

The kernel sends SIGKILL to the program when the thread that forked it ends (PR_SET_PDEATHSIG): a stopped process
would never see a gentler signal. UID -1 keeps the user; otherwise the program has only the capabilities of the mask.
Exit status 127 if the command cannot be executed. It runs as a program of its own because the alternative, code
between fork and exec, may deadlock in a process with threads.
"""

import ctypes
import os
import signal
import struct
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


def main(parent_pid: int, uid: int, gid: int, capabilities: int, command: list[str]) -> int:
    """Drop to `uid`:`gid`, die with `parent_pid`, and become `command`; returns only if that fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if uid >= 0:
            _become(libc, uid, gid, capabilities)
        # After the change of user, which would clear the setting.
        _check(libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))
        if os.getppid() != parent_pid:
            return 1
        os.execvp(command[0], command)  # noqa: S606 - to become the command is the purpose
    except OSError as error:
        sys.stderr.write(f"cannot execute {command[0]}: {error.strerror}\n")
    return 127


def _become(libc: ctypes.CDLL, uid: int, gid: int, capabilities: int) -> None:
    """Change the user; `capabilities` survive the change and the exec, and nothing else does."""
    if capabilities:
        _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capabilities:
        header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
        # Effective, permitted and inheritable, of capabilities 0-31 and 32-63.
        sets = struct.pack("<6I", capabilities, capabilities, capabilities, 0, 0, 0)
        _check(libc.capset(header, sets))
        for number in range(32):
            if capabilities >> number & 1:
                _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    parent, user, group, mask = map(int, sys.argv[1:5])
    sys.exit(main(parent, user, group, mask, sys.argv[5:]))
