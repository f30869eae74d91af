"""The second S3 server: where it can be built it serves, and keeps its objects over a kill."""

import os
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from headrace_local.ports import choose_ports
from headrace_local.versitygw import VERSITYGW_PORTS, VersityServer, build_versitygw


async def test_it_serves_and_keeps_objects_over_a_kill(stack_folder: Path) -> None:
    build = build_versitygw(os.environ, Path.home())
    if build.executable is None:
        pytest.skip(build.reason)
    server = VersityServer(
        build.executable,
        stack_folder / "versitygw",
        choose_ports(VERSITYGW_PORTS),
        bucket="lake",
        access_key="second",
        secret_key="not-a-secret",
    )
    await server.start()
    try:
        store = S3Store(
            "lake",
            endpoint=server.endpoint,
            access_key_id="second",
            secret_access_key="not-a-secret",
            region=server.access.region,
            client_options={"allow_http": True},
        )
        await obstore.put_async(store, "a/b", b"an object")
        server.kill()
        await server.start()
        answer = await obstore.get_async(store, "a/b")
        assert bytes(await answer.bytes_async()) == b"an object"
    finally:
        await server.stop()
    assert not server.alive


def test_without_go_there_is_a_reason_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    build = build_versitygw({"HEADRACE_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""}, tmp_path)
    assert build.executable is None
    assert "go" in build.reason


def test_a_build_that_fails_tells_what_go_said(tmp_path: Path) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho no route to the proxy\nexit 1\n")
    go.chmod(0o755)
    environ = {"HEADRACE_CACHE_DIR": str(tmp_path / "cache"), "PATH": f"{go.parent}:{os.environ['PATH']}"}
    build = build_versitygw(environ, tmp_path)
    assert build.executable is None
    assert "no route to the proxy" in build.reason
