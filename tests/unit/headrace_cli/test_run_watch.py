"""Each state and each stage of a run is told once."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from headrace_cli.run_watch import RunWatcher, summary
from headrace_core.pipeline_run import DayResult, RunResult, RunSpec
from headrace_core.run_policy import AttemptRecord, Run

RUN = Run(name="daily-1", spec=RunSpec(job="daily", date="2026-11-28"), created_ms=0)


def test_states_and_stages_are_told_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    said: list[str] = []
    watcher = RunWatcher(lambda _name: [log], said.append)
    watcher.look(RUN)
    running = msgspec.structs.replace(RUN, state="Running", attempts=(AttemptRecord(number=1, started_ms=1),))
    entry = json.dumps({"stage": "dedup", "rows": 1_500, "seconds": 2.0})
    log.write_text(f'WARNING: noise\n{{"stage": 1}}\n{entry}\n{entry[:9]}')
    watcher.look(running)
    watcher.look(running)
    with log.open("a") as more:
        more.write(entry[9:] + "\n")
    watcher.look(running)
    assert [" ".join(line.split()) for line in said] == [
        "daily-1: Pending",
        "dedup 1,500 rows 2.0 s",
        "daily-1: Running, attempt 1",
        "dedup 1,500 rows 2.0 s",
    ]


def test_why_an_attempt_failed_is_told_once_and_stands_in_the_summary() -> None:
    said: list[str] = []
    watcher = RunWatcher(lambda _name: [], said.append)
    lost = AttemptRecord(
        number=1, started_ms=1, ended_ms=2, failure="infrastructure", why="No Java.", fix="Get one."
    )
    pending = msgspec.structs.replace(RUN, attempts=(lost,))
    watcher.look(pending)
    watcher.look(msgspec.structs.replace(pending, reason="Backoff"))
    assert said == [
        "  attempt 1 failed: No Java. Fix: Get one.",
        "daily-1: Pending, attempt 1",
        "daily-1: Pending, attempt 1 (Backoff)",
    ]
    shown = summary(pending)
    assert shown["attempt 1"] == "no exit code, infrastructure"
    assert (shown["attempt 1 why"], shown["attempt 1 fix"]) == ("No Java.", "Get one.")


def test_a_summary_says_what_was_done() -> None:
    day = DayResult(event_date="2026-11-28", outcome="swapped", sequence=2)
    result = RunResult(
        run="daily-1",
        attempt=2,
        job="daily",
        outcome="succeeded",
        days=(day,),
        counts={"rows": 5, "name": 1},
        started_ms=1,
        ended_ms=2,
    )
    attempts = (
        AttemptRecord(number=1, started_ms=1, ended_ms=2, exit_code=69, failure="infrastructure"),
        AttemptRecord(number=2, started_ms=3, ended_ms=4, exit_code=0),
    )
    done = msgspec.structs.replace(RUN, state="Succeeded", attempts=attempts, result=result, message="m")
    shown = summary(done)
    assert shown["name"] == "daily-1"
    assert shown["attempt 1"] == "exit code 69, infrastructure"
    assert shown["attempt 2"] == "exit code 0, ok"
    assert shown["day 2026-11-28"] == {"eventDate": "2026-11-28", "outcome": "swapped", "sequence": 2}
    assert shown["rows"] == 5
