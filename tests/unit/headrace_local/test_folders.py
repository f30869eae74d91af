"""Who owns a folder, where the cache is, and which folders another user may pass."""

import os
from pathlib import Path

import pytest

from headrace_local.cache import cache_folder, exclusive
from headrace_local.errors import LocalStackError, StackInUseError
from headrace_local.folder import FolderLock, holder_of
from headrace_local.postgres_user import blocking_folder, lendable_capability
from headrace_local.processes import SystemUser


def test_a_folder_has_one_owner_who_can_be_named(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    lock = FolderLock(tmp_path, detached=True)
    lock.acquire()
    holder = holder_of(tmp_path)
    assert holder is not None
    assert (holder.pid, holder.detached) == (os.getpid(), True)
    with pytest.raises(StackInUseError, match=f"process {os.getpid()} "):
        FolderLock(tmp_path).acquire()
    lock.release()
    assert holder_of(tmp_path) is None
    FolderLock(tmp_path).acquire()


def test_who_looks_keeps_no_owner_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, others = FolderLock(tmp_path), []
    lock.acquire()
    lock.release()
    close = os.close

    def closing(fd: int) -> None:
        """The last moment of a look: others look, and one takes the folder."""
        monkeypatch.setattr(os, "close", close)
        others.append(holder_of(tmp_path))
        lock.acquire()
        close(fd)

    monkeypatch.setattr(os, "close", closing)
    assert holder_of(tmp_path) is None
    assert others == [None]
    assert holder_of(tmp_path) is not None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/me/.cache/headrace"),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/headrace"),
        ({"XDG_CACHE_HOME": "/caches", "HEADRACE_CACHE_DIR": "/ours"}, "/ours"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], expected: str) -> None:
    assert cache_folder(environ, Path("/home/me")) == Path(expected)


def test_an_exclusive_lock_that_stays_taken_is_an_error(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lock"),
        pytest.raises(LocalStackError, match="locked"),
        exclusive(tmp_path / "lock", within_s=0.05),
    ):
        pass
    with exclusive(tmp_path / "lock", within_s=0):
        pass


def test_the_outermost_closed_folder_is_named(tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    # A user that owns none of the folders, so the mode for others decides.
    stranger = SystemUser(uid=os.getuid() + 54_321, gid=os.getgid() + 54_321)
    for folder in (outer, inner):
        folder.chmod(0o700)
    blocked = blocking_folder(inner, stranger)
    assert blocked is not None
    assert outer == blocked or outer.is_relative_to(blocked)
    assert blocking_folder(inner, SystemUser(os.getuid(), os.getgid())) is None or os.getuid() != 0


@pytest.mark.parametrize(
    ("effective", "expected"),
    [
        ("0000000000000000", 0),
        ("0000000000000001", 0),
        ("0000000000000002", 2),
        ("0000000000000006", 4),
        ("000001fffeffffff", 4),
        ("00000000a80425fb", 2),
    ],
)
def test_the_least_capability_that_is_there_is_lent(effective: str, expected: int) -> None:
    assert lendable_capability(f"Name:\tpython\nCapPrm:\t0\nCapEff:\t{effective}\n") == expected
