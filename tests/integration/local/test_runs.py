"""Runs on this machine: attempts are processes, records survive, and names and keys mean what they mean on Kubernetes."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from headrace_core.errors import BadData, RetryLater, UsageError
from headrace_core.pipeline_run import Retry, RunResult, RunSpec
from headrace_core.run_policy import AttemptRecord, Run
from headrace_local import processes
from headrace_local.errors import JavaMissingError, ProcessFailedError, StackInUseError
from headrace_local.folder import FolderLock
from headrace_local.processes import ServiceProcess, log_tail
from headrace_local.run_driver import RunDriver
from headrace_local.run_folder import RunFolder, now_ms, run_folders
from headrace_local.run_survivors import RUN_VARIABLE, end_survivors
from headrace_local.runs import LocalRuns

# What a job does with its last word: end with that code, or stay until it is asked to go.
_JOB = """
import json, os, sys, time, signal, pathlib
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
spec = json.loads(pathlib.Path(words["--parameters"]).read_text())
print("attempt", words["--attempt"], flush=True)
codes = spec["rerunOf"].split(",")
code = codes[min(int(words["--attempt"]), len(codes)) - 1]
if code == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", os.getpid(), flush=True)
    time.sleep(60)
if code == "stay":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    time.sleep(60)
result = {"run": words["--run"], "attempt": int(words["--attempt"]), "job": spec["job"], "outcome": "succeeded",
          "counts": {"rows": 3}, "startedMs": 1, "endedMs": 2}
pathlib.Path(os.environ["HEADRACE_TERMINATION_LOG"]).write_text(json.dumps(result))
sys.exit(int(code))
"""


def spec_that(codes: str, **more: object) -> RunSpec:
    """A job whose attempts end with these codes; ``rerun_of`` carries them to the process."""
    fields: dict[str, object] = {
        "job": "daily",
        "date": "2026-11-28",
        "rerun_of": codes,
        "retry": Retry(initial_seconds=1, max_seconds=1),
        **more,
    }
    return RunSpec(**fields)  # type: ignore[arg-type]  # one place for all fields


def new_run(root: Path, spec: RunSpec, name: str = "r", *, after_ms: int = 0) -> RunFolder:
    folder = RunFolder(root, name)
    folder.save(Run(name=name, spec=spec, created_ms=now_ms() + after_ms))
    return folder


def nothing_more(_folder: Path) -> Mapping[str, str]:
    return {}


def no_java(_folder: Path) -> Mapping[str, str]:
    raise JavaMissingError("There is no Java.", why="None was found.", fix="Install one.", code="local.java")


def driver(
    root: Path,
    name: str = "r",
    *,
    environment: Callable[[Path], Mapping[str, str]] = nothing_more,
    stop_grace_s: float = 25.0,
) -> RunDriver:
    def command(job: str) -> list[str]:
        return [sys.executable, "-S", "-c", _JOB, job]

    return RunDriver(root, name, command=command, environment=environment, stop_grace_s=stop_grace_s)


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    while not true():  # noqa: ASYNC110 - files have no events
        await asyncio.sleep(0.02)


async def until_running(folder: RunFolder) -> None:
    """Wait for the first words of the first attempt."""
    await until(lambda: "attempt 1" in log_tail(folder.log(1)))


async def test_a_run_that_succeeds(tmp_path: Path) -> None:
    folder = new_run(tmp_path, spec_that("0"))
    run = await driver(tmp_path).drive()
    assert (run.state, run.reason, len(run.attempts)) == ("Succeeded", "DriverSucceeded", 1)
    assert (run.attempts[0].exit_code, run.attempts[0].failure) == (0, None)
    assert isinstance(run.result, RunResult)
    assert run.result.counts == {"rows": 3}
    assert folder.load() == run
    assert folder.log(1).read_text() == "attempt 1\n"
    assert not (folder.attempt(1) / "scratch").exists()


async def test_a_dependency_that_is_away_is_tried_again_and_a_defect_is_not(tmp_path: Path) -> None:
    new_run(tmp_path, spec_that("69,0"))
    run = await driver(tmp_path).drive()
    assert [(attempt.exit_code, attempt.failure) for attempt in run.attempts] == [
        (69, "infrastructure"),
        (0, None),
    ]
    first, second = run.attempts
    assert second.started_ms - (first.ended_ms or 0) >= 1_000
    new_run(tmp_path, spec_that("70"), "defect")
    run = await driver(tmp_path, "defect").drive()
    assert (run.state, run.reason, len(run.attempts)) == ("Failed", "DriverFailed", 1)


async def test_cancelling_stops_the_attempt(tmp_path: Path) -> None:
    folder = new_run(tmp_path, spec_that("stay"))
    driving = asyncio.create_task(driver(tmp_path).drive())
    await until_running(folder)
    assert folder.driven
    folder.ask_to_cancel()
    run = await driving
    assert (run.state, run.attempts[0].stopped, run.attempts[0].exit_code) == ("Cancelled", "Cancelled", 75)
    assert not folder.driven


async def test_a_run_has_one_driver(tmp_path: Path) -> None:
    folder = new_run(tmp_path, spec_that("stay"))
    driving = asyncio.create_task(driver(tmp_path).drive())
    await until_running(folder)
    with pytest.raises(StackInUseError):
        await driver(tmp_path).drive()
    folder.ask_to_cancel()
    assert (await driving).state == "Cancelled"


async def test_an_attempt_whose_driver_was_killed_is_lost_and_ended_for_good(tmp_path: Path) -> None:
    folder = new_run(tmp_path, spec_that("stay,0"))
    script = tmp_path / "driving.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\nfrom headrace_local.run_driver import RunDriver\n"
        f"asyncio.run(RunDriver(Path({str(tmp_path)!r}), 'r', environment=lambda _: {{}}, "
        f"command=lambda job: [sys.executable, '-S', '-c', {_JOB!r}, job]).drive())\n"
    )
    process = ServiceProcess("driver", [sys.executable, script], {}, tmp_path / "driver.log")
    await process.start()
    await until_running(folder)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait(10)
    assert folder.load().state == "Running"
    seen = LocalRuns(tmp_path, {}).get("r")
    assert (seen.state, seen.reason, seen.attempts[0].failure) == ("Pending", "DriverLost", "infrastructure")
    run = await driver(tmp_path).drive()
    lost, second = run.attempts
    assert (lost.exit_code, lost.failure, second.exit_code, run.state) == (
        None,
        "infrastructure",
        0,
        "Succeeded",
    )


async def test_a_job_that_nothing_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(tmp_path, spec_that("deaf"))
    driving = asyncio.create_task(driver(tmp_path, stop_grace_s=0.1).drive())
    await until(lambda: log_tail(folder.log(1)).endswith("\n") and "deaf" in log_tail(folder.log(1)))
    with monkeypatch.context() as kernel:
        kernel.setattr(processes, "_KILLED_WITHIN_S", 0.2)
        kernel.setattr(os, "kill", lambda _pid, _number: None)
        kernel.setattr(os, "killpg", lambda _group, _number: None)
        folder.ask_to_cancel()
        run = await driving
    os.kill(int(log_tail(folder.log(1)).split()[-1]), signal.SIGKILL)
    last = run.attempts[0]
    assert (run.state, last.stopped, last.exit_code) == ("Cancelled", "Cancelled", None)
    assert last.why is not None
    assert "SIGKILL" in last.why


async def test_what_a_lost_attempt_left_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path, spec_that("0"))
    left = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", "import time; time.sleep(60)", env={RUN_VARIABLE: str(folder.path)}
    )
    with monkeypatch.context() as kernel:
        kernel.setattr(os, "kill", lambda _pid, _number: None)
        with pytest.raises(ProcessFailedError, match=f"Processes {left.pid} are there"):
            await end_survivors(folder.path, within_s=0.2)
    assert left.returncode is None
    await end_survivors(folder.path, within_s=10)
    assert await left.wait() == -signal.SIGKILL


async def test_an_attempt_that_could_not_start_says_why_and_what_to_do(tmp_path: Path) -> None:
    new_run(tmp_path, spec_that("0"))
    run = await driver(tmp_path, environment=no_java).drive()
    last = run.attempts[-1]
    assert (run.state, run.reason, last.exit_code) == ("Failed", "InvalidConfiguration", 78)
    assert (last.why, last.fix) == ("There is no Java. None was found.", "Install one.")
    assert run.message == "There is no Java. None was found. Fix: Install one."


async def test_a_program_that_is_not_there_is_told_too(tmp_path: Path) -> None:
    spec = spec_that("0", retry=Retry(limit=0))
    folder = new_run(tmp_path, spec)
    (folder.attempt(1)).mkdir()
    folder.log(1).mkdir()  # where the log should go
    run = await driver(tmp_path).drive()
    assert (run.state, run.reason) == ("Failed", "BackoffLimitExceeded")
    assert "could not be started" in run.message
    assert f"Fix: Check disk and permissions of {folder.path}." in run.message


async def test_a_queued_run_waits_for_the_key(tmp_path: Path) -> None:
    first = new_run(tmp_path, spec_that("stay"), "first")
    new_run(tmp_path, spec_that("0", concurrency_policy="Queue"), "second", after_ms=1)
    driving = [asyncio.create_task(driver(tmp_path, name).drive()) for name in ("first", "second")]
    await until_running(first)
    await until(lambda: RunFolder(tmp_path, "second").load().reason == "WaitingForKey")
    first.ask_to_cancel()
    done = await asyncio.gather(*driving)
    assert [run.state for run in done] == ["Cancelled", "Succeeded"]
    assert done[1].attempts[0].started_ms >= (done[0].ended_ms or 0)


async def test_a_replacing_run_cancels_the_holder(tmp_path: Path) -> None:
    first = new_run(tmp_path, spec_that("stay"), "first")
    new_run(tmp_path, spec_that("0", concurrency_policy="Replace"), "second", after_ms=1)
    driving = asyncio.create_task(driver(tmp_path, "first").drive())
    await until_running(first)
    assert (await driver(tmp_path, "second").drive()).state == "Succeeded"
    assert (await driving).state == "Cancelled"


def finish(root: Path, name: str) -> None:
    folder = RunFolder(root, name)
    folder.save(msgspec.structs.replace(folder.load(), state="Succeeded", ended_ms=9))


class Undriven(LocalRuns):
    """Records alone: what `submit` decides, without processes."""

    def _ensure_driven(self, folder: RunFolder, run: Run) -> None:
        pass


def test_a_name_stands_for_one_piece_of_work(tmp_path: Path) -> None:
    runs = Undriven(tmp_path, {})
    spec = spec_that("0")
    first = runs.submit(spec, "mine")
    assert runs.submit(spec, "mine") == first
    with pytest.raises(UsageError, match="another run's"):
        runs.submit(spec_that("1"), "mine")
    finish(tmp_path, "mine")
    assert runs.submit(spec, "mine").state == "Succeeded"


def test_without_a_name_the_active_run_is_joined_and_a_finished_one_is_not(tmp_path: Path) -> None:
    runs = Undriven(tmp_path, {})
    spec = spec_that("0")
    assert runs.submit(spec).name == "daily-2026-11-28"
    assert runs.submit(spec).name == "daily-2026-11-28"
    finish(tmp_path, "daily-2026-11-28")
    assert runs.submit(spec).name == "daily-2026-11-28-2"
    assert [run.name for run in runs.all()] == ["daily-2026-11-28-2", "daily-2026-11-28"]


def test_other_work_under_the_same_key_is_refused_while_one_is_active(tmp_path: Path) -> None:
    runs = Undriven(tmp_path, {})
    runs.submit(spec_that("0"))
    with pytest.raises(RetryLater, match="daily/2026-11-28"):
        runs.submit(spec_that("1"))
    assert len(run_folders(tmp_path)) == 1
    runs.submit(spec_that("1", date="2026-11-29"))
    finish(tmp_path, "daily-2026-11-28")
    assert runs.submit(spec_that("1")).name == "daily-2026-11-28-2"


def test_unknown_and_damaged_runs_are_told(tmp_path: Path) -> None:
    runs = Undriven(tmp_path, {})
    with pytest.raises(BadData, match="no run"):
        runs.get("nothing")
    folder = new_run(tmp_path, spec_that("0"))
    (folder.path / "run.json").write_text("{")
    with pytest.raises(BadData, match="cannot be read"):
        runs.get("r")


@pytest.mark.parametrize("torn", [b"", b"{", bytes(300), b"\xff\xfe"])
async def test_a_torn_record_stops_no_other_run(tmp_path: Path, torn: bytes) -> None:
    runs = Undriven(tmp_path, {})
    for name in ("daily-2026-11-28", "Not-A-Name"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_bytes(torn)
    assert runs.submit(spec_that("0")).name == "daily-2026-11-28-2"
    assert (await driver(tmp_path, "daily-2026-11-28-2").drive()).state == "Succeeded"
    assert [run.name for run in runs.all()] == ["daily-2026-11-28-2"]
    assert ["daily-2026-11-28 cannot be read" in str(error) for error in runs.unreadable()] == [True]


async def test_who_looks_at_a_run_keeps_its_driver_out_no_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path, spec_that("0"))
    begun = AttemptRecord(number=1, started_ms=now_ms())
    folder.save(msgspec.structs.replace(folder.load(), state="Running", attempts=(begun,)))
    before = (folder.path / "run.json").read_bytes()

    def taken(_lock: FolderLock) -> None:
        raise AssertionError("a look took the lock")

    with monkeypatch.context() as looking:
        looking.setattr(FolderLock, "acquire", taken)
        seen = LocalRuns(tmp_path, {}).all()
    assert [(run.state, run.reason) for run in seen] == [("Pending", "DriverLost")]
    assert (folder.path / "run.json").read_bytes() == before
    assert (await driver(tmp_path).drive()).attempts[0].failure == "infrastructure"


def test_a_run_that_ended_while_somebody_looked_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_run(tmp_path, spec_that("0"))
    begun = AttemptRecord(number=1, started_ms=now_ms())
    folder.save(msgspec.structs.replace(folder.load(), state="Running", attempts=(begun,)))

    def ends(_folder: RunFolder) -> bool:
        finish(tmp_path, "r")
        return False

    monkeypatch.setattr(RunFolder, "driven", property(ends))
    assert LocalRuns(tmp_path, {}).get("r").state == "Succeeded"


def test_a_driver_that_fails_is_told_instead_of_started_again_for_ever(tmp_path: Path) -> None:
    folder = new_run(tmp_path, spec_that("0"))
    folder.attempt(1).write_text("no folder can be made here")
    runs = LocalRuns(tmp_path, dict(os.environ))
    with pytest.raises(ProcessFailedError, match="drives the run r ended with status 1") as caught:
        runs.wait("r", within_s=60)
    assert "Not a directory" in caught.value.why


def test_a_wish_to_cancel_is_heard_without_a_driver(tmp_path: Path) -> None:
    runs = Undriven(tmp_path, {})
    runs.submit(spec_that("0"), "mine")
    assert runs.cancel("mine").spec.cancel
