"""Fixtures that give tests the real Kafka, S3 server and PostgreSQL of the embedded stack.

`stack` is shared by all tests of a run (by all tests of a worker under pytest-xdist, and `--dist loadgroup` puts them
on one worker, those that use Spark on one): tests must use topics, keys and schemas of their own. `fresh_stack` belongs to one test, which may kill
its servers. Neither belongs to an event loop.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from headrace_local.ports import choose_ports
from headrace_local.s3_probe import S3Access
from headrace_local.stack import LocalStack
from headrace_local.versitygw import VERSITYGW_PORTS, VersityServer, build_versitygw

__all__ = ["fresh_stack", "mark_stack_tests", "new_folder", "second_s3", "stack", "stack_folder"]

T = TypeVar("T")
_SPARK = {"spark", "spark_settings"}
_FIXTURES = {"stack", "fresh_stack", "stack_folder", "ingest_stack"}


def mark_stack_tests(items: list[pytest.Item]) -> None:
    """Mark every test that starts servers, and keep the users of the shared stack on one worker, and those of the
    shared Spark session on one, which may be another: it then has a stack of its own."""
    for item in items:
        used = _FIXTURES & set(getattr(item, "fixturenames", ()))
        if used:
            item.add_marker(pytest.mark.stack)
        if "stack" in used:
            shared = "spark" if _SPARK & set(getattr(item, "fixturenames", ())) else "stack"
            item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """The stack that all tests of this run share; started at its first use."""
    root = new_folder()
    shared = LocalStack(root)
    _run(shared.__aenter__())
    try:
        yield shared
    finally:
        _run(shared.__aexit__(None, None, None))
        shutil.rmtree(root)


@pytest.fixture
def stack_folder() -> Iterator[Path]:
    """An empty folder that a stack can live in; removed after the test."""
    root = new_folder()
    try:
        yield root
    finally:
        shutil.rmtree(root)


@pytest.fixture
async def fresh_stack(stack_folder: Path) -> AsyncIterator[LocalStack]:
    """A stack of this test's own, with one broker: its servers may be killed and restarted."""
    async with LocalStack(stack_folder) as own:
        yield own


@pytest.fixture(scope="session")
def second_s3() -> Iterator[S3Access]:
    """A bucket of another S3 server than the stack's; the test is skipped, with the reason, where there is none."""
    build = build_versitygw(os.environ, Path.home())
    if build.executable is None:
        pytest.skip(build.reason)
    root = new_folder()
    ports = choose_ports(VERSITYGW_PORTS)
    keys = {"access_key": "second", "secret_key": secrets.token_urlsafe(24)}
    server = VersityServer(build.executable, root / "versitygw", ports, bucket="lake", **keys)
    _run(server.start())
    try:
        yield server.access
    finally:
        _run(server.stop())
        shutil.rmtree(root)


def new_folder() -> Path:
    """pytest's own temporary folders are closed to the user that PostgreSQL runs as when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    folder.chmod(0o711)
    return folder


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a thread without a loop: pytest-asyncio may own the loop of this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
