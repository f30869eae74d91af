"""One stack and one service for all tests of this folder that kill nothing."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from tests.support.ingest_service import IngestService, ingest_service

from headrace_local.stack import LocalStack

T = TypeVar("T")


@pytest.fixture(scope="session")
def ingest_stack() -> Iterator[LocalStack]:
    """A stack of this folder's own: the topics of a service have fixed names."""
    root = Path(tempfile.mkdtemp(prefix="headrace-"))
    root.chmod(0o711)
    try:
        with _entered(LocalStack(root)) as own:
            yield own
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def service(ingest_stack: LocalStack) -> Iterator[IngestService]:
    """A service on the folder's stack, shared by its tests."""
    with _entered(ingest_service(ingest_stack)) as made:
        yield made


@contextmanager
def _entered(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """An async context for a fixture that belongs to no event loop."""
    with ThreadPoolExecutor(1) as pool, asyncio.Runner() as runner:
        entered = pool.submit(runner.run, context.__aenter__()).result()
        try:
            yield entered
        finally:
            pool.submit(runner.run, context.__aexit__(None, None, None)).result()
