"""Child processes: ready, ended, stuck, and what a person is told about it."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from headrace_local.errors import LocalStackError, ProcessFailedError
from headrace_local.processes import ServiceProcess, log_tail, run_tool

_SLEEP = "import time; time.sleep(60)"
_IGNORE_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def _python(code: str, log: Path, **options: object) -> ServiceProcess:
    return ServiceProcess("probe", [sys.executable, "-S", "-c", code], {}, log, **options)  # type: ignore[arg-type] # one place for all options


def _says(log: Path, text: str) -> object:
    async def ready() -> bool:
        return text in log_tail(log)

    return ready


async def test_a_child_is_ready_when_its_probe_says_so_and_stops_when_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = _python(f"print('up', flush=True); {_SLEEP}", log, ready=_says(log, "up"))
    assert await child.start() > 0
    assert child.returncode is None
    await child.stop()
    assert child.returncode == -signal.SIGTERM


async def test_a_child_can_be_started_again_and_its_log_goes_on(tmp_path: Path) -> None:
    child = _python("print('once')", tmp_path / "log")
    for _ in range(2):
        await child.start()
        assert await child.wait(10) == 0
    assert log_tail(tmp_path / "log").split() == ["once", "once"]


async def test_a_child_that_ends_before_it_is_ready_tells_its_last_words(tmp_path: Path) -> None:
    child = _python(
        "import sys; sys.exit('no such luck')", tmp_path / "log", ready=_says(tmp_path / "log", "up")
    )
    with pytest.raises(ProcessFailedError, match=r"status 1(.|\n)*no such luck"):
        await child.start()


async def test_a_child_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    child = _python(_SLEEP, tmp_path / "log", ready=_says(tmp_path / "log", "up"), ready_within_s=0.1)
    with pytest.raises(ProcessFailedError, match="not ready within"):
        await child.start()
    assert not child.alive


async def test_a_start_that_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    child = _python(_SLEEP, tmp_path / "log", ready=_says(tmp_path / "log", "up"))
    starting = asyncio.ensure_future(child.start())
    # One turn of the loop: the child is spawned before the start waits for its first probe.
    await asyncio.sleep(0)
    assert child.pid > 0
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not child.alive


async def test_a_child_that_ignores_the_request_is_killed_after_the_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = _python(_IGNORE_TERM, log, ready=_says(log, "up"), grace_s=0.1)
    await child.start()
    await child.stop()
    assert child.returncode == -signal.SIGKILL


async def test_a_child_that_has_finished_its_work_is_not_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = _python(_IGNORE_TERM, log, ready=_says(log, "up"), grace_s=60.0, finished=lambda: True)
    await child.start()
    async with asyncio.timeout(10):
        await child.stop()
    assert child.returncode == -signal.SIGKILL


async def test_a_paused_child_can_be_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = _python(f"print('up', flush=True); {_SLEEP}", log, ready=_says(log, "up"))
    await child.start()
    child.pause()
    assert child.alive
    async with asyncio.timeout(5):
        await child.stop()
    assert child.returncode == -signal.SIGTERM


async def test_a_kill_takes_the_descendants_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = _python(_PARENT, log, ready=_says(log, "\n"))
    await child.start()
    grandchild = int(log_tail(log))
    child.kill()
    assert not child.alive
    await asyncio.to_thread(_wait_until_gone, grandchild)


async def test_the_environment_is_added_to_the_parents(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import os; print(os.environ['EXTRA'], 'PATH' in os.environ)"
    await run_tool("probe", [sys.executable, "-S", "-c", code], {"EXTRA": "yes"}, log)
    assert log_tail(log).split() == ["yes", "True"]


async def test_a_tool_that_fails_or_hangs_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c"]
    with pytest.raises(ProcessFailedError, match="status 3"):
        await run_tool("probe", [*command, "raise SystemExit(3)"], {}, tmp_path / "log")
    with pytest.raises(ProcessFailedError, match="did not end within"):
        await run_tool("probe", [*command, _SLEEP], {}, tmp_path / "log", within_s=0.1)


async def test_a_command_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match="cannot execute no-such-program"):
        await run_tool("probe", ["no-such-program"], {}, tmp_path / "log")


async def test_a_second_start_of_a_running_child_is_refused(tmp_path: Path) -> None:
    child = _python(_SLEEP, tmp_path / "log")
    await child.start()
    with pytest.raises(LocalStackError, match=f"process {child.pid}"):
        await child.start()
    child.kill()


def test_a_child_may_be_started_in_one_loop_and_stopped_in_another(tmp_path: Path) -> None:
    child = _python(_SLEEP, tmp_path / "log")
    asyncio.run(child.start())
    assert child.returncode is None
    asyncio.run(child.stop())
    assert child.returncode == -signal.SIGTERM


def test_what_was_never_started_says_so(tmp_path: Path) -> None:
    child = _python(_SLEEP, tmp_path / "log")
    child.kill()
    with pytest.raises(LocalStackError, match="was not started"):
        _ = child.pid


def test_the_log_tail_is_bounded_and_survives_odd_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == ""
    log.write_bytes(b"\xff" * 10 + b"abc")
    assert log_tail(log, 4) == "\ufffdabc"


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived its parent"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
