"""The end of a demo, also where a person or a deadline brings it early: no job is left behind, and the report is printed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from headrace_cli.demo import reported, until
from headrace_cli.demo_daily import read_sessions, run_to_end
from headrace_core.errors import ExitCode, Unavailable
from headrace_core.pipeline_run import RunSpec
from headrace_core.run_policy import Run
from headrace_local.runs import LocalRuns

_SPEC = RunSpec(job="daily", date="2026-11-28")


class EndlessJob(LocalRuns):
    """Runs whose one job goes on until it is cancelled, and needs another look for that."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, {})
        self.run = Run(name="r", spec=_SPEC, created_ms=0)
        self.looked = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def submit(self, _spec: RunSpec, _name: str | None = None) -> Run:
        self.run = msgspec.structs.replace(self.run, state="Running")
        return self.run

    def tend(self, _name: str) -> Run:
        self._loop.call_soon_threadsafe(self.looked.set)
        if self.run.spec.cancel:
            self.run = msgspec.structs.replace(self.run, state="Cancelled")
        return self.run

    def cancel(self, _name: str) -> Run:
        self.run = msgspec.structs.replace(self.run, spec=msgspec.structs.replace(_SPEC, cancel=True))
        return self.run

    def logs(self, _name: str) -> list[Path]:
        return []


async def test_who_stops_the_demo_stops_its_daily_job(tmp_path: Path) -> None:
    runs, stop = EndlessJob(tmp_path), asyncio.Event()

    async def work() -> ExitCode:
        await run_to_end(runs, _SPEC)
        return ExitCode.OK

    ending = asyncio.create_task(until(stop, work()))
    await runs.looked.wait()
    stop.set()
    assert await ending is ExitCode.RETRY_LATER
    assert runs.run.state == "Cancelled"


async def test_a_daily_job_that_is_late_is_stopped_too(tmp_path: Path) -> None:
    runs = EndlessJob(tmp_path)
    with pytest.raises(Unavailable, match="did not end in time"):
        await run_to_end(runs, _SPEC, within_s=0.05)
    assert runs.run.state == "Cancelled"


async def test_work_that_is_done_gives_its_code_whoever_stops() -> None:
    async def work() -> ExitCode:
        return ExitCode.BAD_DATA

    assert await until(asyncio.Event(), work()) is ExitCode.BAD_DATA


def test_the_report_is_printed_however_the_daily_job_ends(capsys: pytest.CaptureFixture[str]) -> None:
    report: dict[str, object] = {"accounted_for": True}

    def fail() -> None:
        with reported(report, as_json=True):
            report["daily"] = {"state": "Unfinished"}
            raise Unavailable("Spark did not start.", code="spark_start")

    with pytest.raises(Unavailable):
        fail()
    assert json.loads(capsys.readouterr().out) == {"accounted_for": True, "daily": {"state": "Unfinished"}}
    with reported(report, as_json=False):
        pass
    assert capsys.readouterr().out == ""


async def test_a_warehouse_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    """A server that takes connections and says nothing."""
    silent = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    try:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(30):
                await read_sessions(f"postgresql://u@127.0.0.1:{port}/d", "2026-11-28", within_s=1)
    finally:
        silent.close()
