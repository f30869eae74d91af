"""Fetches the jars of a lock into a cache folder: in parallel, resumed, retried, and checked against the lock."""

import base64
import hashlib
import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headrace_local.cache import exclusive
from headrace_local.errors import FetchError
from headrace_local.lockfile import LockedJar
from headrace_local.maven import Repository

__all__ = ["fetch_jars"]

_THREADS = 8
_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.25
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 18
_PARTIAL_CONTENT = 206

_Advance = Callable[[int], None]


def fetch_jars(jars: Sequence[LockedJar], folder: Path, choose: Callable[[], Repository]) -> list[Path]:
    """The paths of all `jars` in `folder`, fetched where they are missing or differ from the lock.

    Safe to call from several processes at once: one fetches, the others wait for it. `choose` names the repository and
    is only called if something must be fetched. `FetchError` if a jar cannot be had.
    """
    paths = [folder / jar.path for jar in jars]
    with exclusive(folder / ".lock"), ThreadPoolExecutor(_THREADS) as pool:
        whole = list(pool.map(_matches, paths, jars))
        missing = [jar for jar, is_whole in zip(jars, whole, strict=True) if not is_whole]
        if missing:
            _fetch_missing(pool, missing, folder, choose())
    return paths


def _fetch_missing(
    pool: ThreadPoolExecutor, missing: Sequence[LockedJar], folder: Path, repository: Repository
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        total_bytes = sum(jar.size_bytes for jar in missing)
        task = progress.add_task(f"fetching {len(missing)} jars", total=total_bytes)
        jobs = [
            pool.submit(_fetch, jar, folder / jar.path, repository, lambda n: progress.advance(task, n))
            for jar in missing
        ]
        try:
            for job in jobs:
                job.result()
        finally:
            for job in jobs:
                job.cancel()


def _fetch(jar: LockedJar, path: Path, repository: Repository, advance: _Advance) -> None:
    part = path.with_name(f"{path.name}.{jar.sha256[:12]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS):
        try:
            _append(f"{repository.url}/{jar.path}", part, repository, advance)
        except (OSError, http.client.HTTPException) as error:
            if attempt == _ATTEMPTS - 1 or _is_final(error):
                raise _unreachable(jar, repository, error) from error
            time.sleep(_FIRST_PAUSE_S * 2**attempt)
            continue
        if _matches(part, jar):
            part.replace(path)
            return
        if part.stat().st_size >= jar.size_bytes:
            found = _sha256(part)
            part.unlink()
            raise FetchError(
                f"{repository.url}/{jar.path} is not the file that the lock names; it was not kept.",
                why=f"its SHA-256 is {found}, the lock says {jar.sha256}.",
                fix="fetch from another Maven repository: set HEADRACE_MAVEN_URL.",
                code="local.jar_differs",
            )
    raise _unreachable(jar, repository, EOFError("the transfer kept breaking off"))


def _append(url: str, part: Path, repository: Repository, advance: _Advance) -> None:
    """Transfer what is missing of `part`; starts over if the server does not resume."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    if repository.username is not None:
        login = f"{repository.username}:{repository.password or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(login).decode()
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http, https or file, as configured
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310 - the same
        resumed = response.status == _PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as out:
            if resumed:
                advance(have)
            while chunk := response.read(_CHUNK_BYTES):
                out.write(chunk)
                advance(len(chunk))


def _is_final(error: Exception) -> bool:
    """Whether asking again is pointless: the server said no, and not because it is busy."""
    return isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404)


def _matches(path: Path, jar: LockedJar) -> bool:
    return path.is_file() and path.stat().st_size == jar.size_bytes and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unreachable(jar: LockedJar, repository: Repository, error: Exception) -> FetchError:
    return FetchError(
        f"{repository.url}/{jar.path} cannot be fetched.",
        why=f"{error}.",
        fix="check the network, or name a Maven repository that this machine reaches: set HEADRACE_MAVEN_URL, or a "
        "mirror of central in the Maven settings file.",
        code="local.jar_unreachable",
    )
