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
from headrace_core.run_policy import Run
from headrace_local.errors import StackInUseError
from headrace_local.processes import ServiceProcess, log_tail
from headrace_local.run_driver import RunDriver
from headrace_local.run_folder import RunFolder, run_folders
from headrace_local.runs import LocalRuns

# What a job does with its last word: end with that code, or stay until it is asked to go.
_JOB = """
import json, os, sys, time, signal, pathlib
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
spec = json.loads(pathlib.Path(words["--parameters"]).read_text())
print("attempt", words["--attempt"], flush=True)
codes = spec["rerunOf"].split(",")
code = codes[min(int(words["--attempt"]), len(codes)) - 1]
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


def new_run(root: Path, spec: RunSpec, name: str = "r", created_ms: int = 1) -> RunFolder:
    folder = RunFolder(root, name)
    folder.save(Run(name=name, spec=spec, created_ms=created_ms))
    return folder


def driver(root: Path, name: str = "r") -> RunDriver:
    def nothing_more(_folder: Path) -> Mapping[str, str]:
        return {}

    return RunDriver(
        root, name, command=lambda job: [sys.executable, "-S", "-c", _JOB, job], environment=nothing_more
    )


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


async def test_a_queued_run_waits_for_the_key(tmp_path: Path) -> None:
    first = new_run(tmp_path, spec_that("stay"), "first")
    new_run(tmp_path, spec_that("0", concurrency_policy="Queue"), "second", created_ms=2)
    driving = [asyncio.create_task(driver(tmp_path, name).drive()) for name in ("first", "second")]
    await until_running(first)
    await until(lambda: RunFolder(tmp_path, "second").load().reason == "WaitingForKey")
    first.ask_to_cancel()
    done = await asyncio.gather(*driving)
    assert [run.state for run in done] == ["Cancelled", "Succeeded"]
    assert done[1].attempts[0].started_ms >= (done[0].ended_ms or 0)


async def test_a_replacing_run_cancels_the_holder(tmp_path: Path) -> None:
    first = new_run(tmp_path, spec_that("stay"), "first")
    new_run(tmp_path, spec_that("0", concurrency_policy="Replace"), "second", created_ms=2)
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


def test_a_wish_to_cancel_is_heard_without_a_driver(tmp_path: Path) -> None:
    runs = Undriven(tmp_path, {})
    runs.submit(spec_that("0"), "mine")
    assert runs.cancel("mine").spec.cancel
