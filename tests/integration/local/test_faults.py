"""SIGKILL and SIGSTOP of servers and of their parent lose no data and leave no process."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from tests.support.stack_marks import MARKED, leave_marks, marks_of

from headrace_local.errors import ProcessFailedError
from headrace_local.server import PID_FILE
from headrace_local.stack import LocalStack

_OWNER = """
import asyncio, sys
from pathlib import Path
from headrace_local.stack import LocalStack

async def hold():
    async with LocalStack(Path(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


async def test_each_server_comes_back_with_its_data_from_every_kind_of_end(fresh_stack: LocalStack) -> None:
    await leave_marks(fresh_stack.endpoints)
    for server in fresh_stack.servers.values():
        before = server.pid
        server.kill()
        assert not server.alive
        await server.start()
        assert await server.answers()
        assert server.pid != before
    assert await marks_of(fresh_stack.endpoints) == MARKED
    for server in fresh_stack.servers.values():
        await server.stop()
        assert not await server.answers()
        await server.start()
    assert await marks_of(fresh_stack.endpoints) == MARKED
    for server in fresh_stack.servers.values():
        server.pause()
        await server.stop()
        await server.start()
    assert await marks_of(fresh_stack.endpoints) == MARKED


async def test_a_paused_server_is_silent_until_it_resumes(fresh_stack: LocalStack) -> None:
    dsn = fresh_stack.endpoints.postgres_dsn
    async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=10) as connection:
        fresh_stack.servers["postgres"].pause()
        # The process of this very connection is paused too, not only the one that accepts new ones.
        question = asyncio.ensure_future(connection.execute("SELECT 1"))
        done, _ = await asyncio.wait([question], timeout=1)
        assert not done
        assert fresh_stack.servers["postgres"].alive
        fresh_stack.servers["postgres"].resume()
        async with asyncio.timeout(10):
            assert await (await question).fetchone() == (1,)


async def test_a_start_that_fails_says_why(fresh_stack: LocalStack) -> None:
    postgres = fresh_stack.servers["postgres"]
    await postgres.stop()
    version = fresh_stack.root / "postgres" / "data" / "PG_VERSION"
    version.write_text("7\n")
    with pytest.raises(ProcessFailedError, match="version 7"):
        await postgres.start()
    version.write_text("18\n")
    await postgres.start()


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
async def test_sigkill_of_the_parent_leaves_no_process_and_all_data(
    stack_folder: Path, *, paused: bool
) -> None:
    owner = await asyncio.to_thread(_start_owner, stack_folder)
    try:
        pids = _server_pids(stack_folder)
        assert len(pids) == 3
        if paused:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
    finally:
        owner.kill()
        owner.communicate(timeout=10)
    await asyncio.to_thread(_wait_until_gone, pids)
    async with LocalStack(stack_folder) as stack:
        await leave_marks(stack.endpoints)
        assert await marks_of(stack.endpoints) == MARKED


def _start_owner(root: Path) -> subprocess.Popen[bytes]:
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(root)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"ready\n"
    return owner


def _server_pids(root: Path) -> list[int]:
    return [int(file.read_text()) for file in root.glob(f"*/{PID_FILE}")]


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(_exists(pid) for pid in pids):
        assert time.monotonic() < deadline, f"processes of {pids} outlived their parent"
        time.sleep(0.05)


def _exists(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be collected does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
