"""Fetching jars: checked against the lock, resumed, retried, shared between processes."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from headrace_local.errors import FetchError
from headrace_local.fetch import fetch_jars
from headrace_local.lockfile import LockedJar
from headrace_local.maven import Repository

_BODY = bytes(range(256)) * 4096


class _Handler(BaseHTTPRequestHandler):
    """Serves `_BODY` under every path; breaks the first `breaks` answers off in the middle."""

    breaks: ClassVar[int] = 0
    seen: ClassVar[list[tuple[str, str | None, str | None]]] = []

    def do_GET(self) -> None:
        range_ = self.headers.get("Range")
        self.seen.append((self.path, range_, self.headers.get("Authorization")))
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int(range_.removeprefix("bytes=").removesuffix("-")) if range_ else 0
        self.send_response(206 if range_ else 200)
        self.send_header("Content-Length", str(len(_BODY) - start))
        self.end_headers()
        part = _BODY[start:]
        if type(self).breaks:
            type(self).breaks -= 1
            part = part[: len(part) // 2]
        self.wfile.write(part)

    def log_message(self, *_args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Maven repository on this machine."""
    monkeypatch.setattr("headrace_local.fetch._FIRST_PAUSE_S", 0.001)
    monkeypatch.setenv("no_proxy", "*")
    _Handler.breaks = 0
    _Handler.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _jar(artifact: str, body: bytes = _BODY) -> LockedJar:
    return LockedJar("org.example", artifact, "1", None, hashlib.sha256(body).hexdigest(), len(body))


def _never() -> Repository:
    raise AssertionError("nothing is missing, so no repository is needed")


def test_jars_are_fetched_once_and_found_again(address: str, tmp_path: Path) -> None:
    jars = [_jar(f"a{n}") for n in range(12)]
    paths = fetch_jars(jars, tmp_path, lambda: Repository(address))
    assert [path.name for path in paths] == [f"a{n}-1.jar" for n in range(12)]
    assert all(path.read_bytes() == _BODY for path in paths)
    assert fetch_jars(jars, tmp_path, _never) == paths


def test_a_transfer_that_breaks_off_is_resumed_where_it_stopped(address: str, tmp_path: Path) -> None:
    _Handler.breaks = 2
    (path,) = fetch_jars([_jar("a")], tmp_path, lambda: Repository(address))
    assert path.read_bytes() == _BODY
    starts = [range_ for _, range_, _ in _Handler.seen]
    assert starts == [None, f"bytes={len(_BODY) // 2}-", f"bytes={len(_BODY) * 3 // 4}-"]


def test_the_rest_of_an_earlier_process_is_used(address: str, tmp_path: Path) -> None:
    jar = _jar("a")
    part = (tmp_path / jar.path).with_name(f"a-1.jar.{jar.sha256[:12]}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(_BODY[:1000])
    (path,) = fetch_jars([jar], tmp_path, lambda: Repository(address))
    assert path.read_bytes() == _BODY
    assert [range_ for _, range_, _ in _Handler.seen] == ["bytes=1000-"]
    assert not part.exists()


def test_a_file_that_differs_from_the_lock_is_refused_and_not_kept(address: str, tmp_path: Path) -> None:
    foreign = _jar("a", b"x" * len(_BODY))
    with pytest.raises(FetchError, match=foreign.sha256):
        fetch_jars([foreign], tmp_path, lambda: Repository(address))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_file_that_is_longer_than_the_lock_says_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="not the file that the lock names"):
        fetch_jars([_jar("a", _BODY[:100])], tmp_path, lambda: Repository(address))


def test_a_damaged_file_in_the_cache_is_replaced(address: str, tmp_path: Path) -> None:
    (path,) = fetch_jars([_jar("a")], tmp_path, lambda: Repository(address))
    path.write_bytes(b"y" * len(_BODY))
    fetch_jars([_jar("a")], tmp_path, lambda: Repository(address))
    assert path.read_bytes() == _BODY


def test_a_no_of_the_repository_is_final(address: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="404"):
        fetch_jars([_jar("missing")], tmp_path, lambda: Repository(address))
    assert len(_Handler.seen) == 1


def test_a_repository_that_keeps_breaking_off_is_given_up(address: str, tmp_path: Path) -> None:
    _Handler.breaks = 1000
    with pytest.raises(FetchError, match="HEADRACE_MAVEN_URL"):
        fetch_jars([_jar("a")], tmp_path, lambda: Repository(address))


def test_credentials_are_sent(address: str, tmp_path: Path) -> None:
    fetch_jars([_jar("a")], tmp_path, lambda: Repository(address, "reader", "secret"))
    assert _Handler.seen[0][2] == "Basic cmVhZGVyOnNlY3JldA=="


def test_a_folder_can_be_a_repository(tmp_path: Path) -> None:
    jar = _jar("a")
    origin = tmp_path / "repository" / jar.path
    origin.parent.mkdir(parents=True)
    origin.write_bytes(_BODY)
    repository = Repository((tmp_path / "repository").as_uri())
    (path,) = fetch_jars([jar], tmp_path / "cache", lambda: repository)
    assert path.read_bytes() == _BODY


def test_two_at_once_fetch_each_jar_once(address: str, tmp_path: Path) -> None:
    jars = [_jar(f"a{n}") for n in range(4)]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(fetch_jars, jars, tmp_path, lambda: Repository(address)) for _ in range(2)]
        assert both[0].result() == both[1].result()
    assert len(_Handler.seen) == 4
