"""Whom PostgreSQL runs as, and how that user gets at its files: the server refuses to be root.

Started by an ordinary user it is that user. Started by root it is `nobody`, who must pass every folder on the way to
the data and to the programs. A clone below root's own home is closed to it: then the server keeps the one capability
that lets it pass folders, if this process has it to give.
"""

import os
import pwd
import shutil
import stat
from dataclasses import replace
from pathlib import Path

from headrace_local.errors import LocalStackError
from headrace_local.processes import SystemUser

__all__ = ["blocking_folder", "choose_server_user", "lendable_capability", "reachable_programs"]

_CAP_DAC_OVERRIDE = 1 << 1
_CAP_DAC_READ_SEARCH = 1 << 2


def choose_server_user(folder: Path) -> SystemUser | None:
    """The user for a server whose files are in `folder`, which is handed over to it; None if it needs no other user.

    `LocalStackError` if that user cannot get at the folder.
    """
    if os.geteuid() != 0:
        return None
    user = _owner_of(folder / "data")
    os.chown(folder, user.uid, user.gid)
    blocked = blocking_folder(folder, user)
    if blocked is None:
        return user
    capability = lendable_capability(Path("/proc/self/status").read_text())
    if capability == 0:
        raise LocalStackError(
            f"PostgreSQL cannot use the folder {folder}.",
            why=f"it refuses to run as root, so it runs as user {user.uid}, who may not pass {blocked}.",
            fix=f"choose a folder elsewhere, allow it (chmod o+x {blocked}), or run as an ordinary user.",
            code="local.folder_closed",
        )
    return replace(user, capabilities=capability)


def reachable_programs(installed: Path, folder: Path, user: SystemUser | None) -> Path:
    """The server's installation: `installed`, or a copy in `folder` where its user may not reach that."""
    if user is None or user.capabilities or blocking_folder(installed / "bin", user) is None:
        return installed
    copied = folder / "programs"
    if not copied.exists():
        draft = folder / "programs.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(installed, draft, symlinks=True)
        draft.rename(copied)
    return copied


def lendable_capability(status: str) -> int:
    """The least capability by which a user passes closed folders, out of what `/proc/self/status` says we have; or 0."""
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    effective = int(line.split()[1], 16)
    return next((one for one in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if effective & one), 0)


def blocking_folder(path: Path, user: SystemUser) -> Path | None:
    """The outermost folder on the way to and including `path` that `user` may not pass; None if it reaches it."""
    resolved = path.resolve()
    chain = [*reversed(resolved.parents), resolved]
    return next((folder for folder in chain if not _may_pass(folder.stat(), user)), None)


def _owner_of(data: Path) -> SystemUser:
    """The owner of existing data, whoever created them; else `nobody`."""
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return SystemUser(owner.st_uid, owner.st_gid)
    nobody = pwd.getpwnam("nobody")
    return SystemUser(nobody.pw_uid, nobody.pw_gid)


def _may_pass(status: os.stat_result, user: SystemUser) -> bool:
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
