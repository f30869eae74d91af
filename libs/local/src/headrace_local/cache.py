"""The folder outside the tree that keeps what is expensive to get: jars, class archives, built servers."""

import contextlib
import fcntl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from headrace_local.errors import LocalStackError

__all__ = ["cache_folder", "exclusive"]

_POLL_S = 0.05


def cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """`HEADRACE_CACHE_DIR`, else `headrace` in the user's cache folder."""
    if configured := environ.get("HEADRACE_CACHE_DIR"):
        return Path(configured).expanduser()
    xdg = environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else home / ".cache") / "headrace"


@contextlib.contextmanager
def exclusive(lock: Path, within_s: float = 900.0) -> Iterator[None]:
    """Hold `lock` against other threads and processes; `LocalStackError` if it stays taken for `within_s`."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + within_s
    with lock.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LocalStackError(
                        f"The cache stayed locked for {within_s:.0f} s.",
                        why=f"another process holds {lock}, and may be hanging.",
                        fix="end it and try again.",
                        code="local.cache_locked",
                    ) from None
                time.sleep(_POLL_S)
        yield
