"""Becomes the program of a child process after tying its life to the parent's. Run by path, never imported.

    python -I -S launch.py PARENT_PID UID GID COMMAND...

The kernel sends SIGKILL to the program when the thread that forked it ends (PR_SET_PDEATHSIG): a stopped process
would never see a gentler signal. UID -1 keeps the user. Exit status 127 if the command cannot be executed. It runs as
a program of its own because the alternative, code between fork and exec, may deadlock in a process with threads.
"""

import ctypes
import os
import signal
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main(parent_pid: int, uid: int, gid: int, command: list[str]) -> int:
    """Drop to `uid`:`gid`, die with `parent_pid`, and become `command`; returns only if that fails."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which would clear the setting.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        return 1
    try:
        os.execvp(command[0], command)  # noqa: S606 - to become the command is the purpose
    except OSError as error:
        sys.stderr.write(f"cannot execute {command[0]}: {error.strerror}\n")
    return 127


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
