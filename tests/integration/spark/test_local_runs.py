"""`headrace run` on the stack: a real job, its records, and a driver that is killed on the way."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.lake_days import put_user_day
from tests.support.spark import spark_environment

from headrace_core.errors import ExitCode
from headrace_core.run_policy import Run
from headrace_local.folder import holder_of
from headrace_local.run_folder import RunFolder
from headrace_local.runs import LocalRuns
from headrace_local.stack import LocalStack
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.settings import SparkSettings


class Shell:
    """Runs the command line against the stack; runs are kept in a folder of their own."""

    def __init__(self, stack: LocalStack, root: Path) -> None:
        self.root = root
        self.environment = spark_environment(stack)

    def __call__(self, *words: str) -> tuple[int, Any]:
        command = [sys.executable, "-m", "headrace_cli", "run", *words, "--root", str(self.root), "--json"]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=280, check=False
        )
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


@pytest.fixture
def shell(stack: LocalStack, tmp_path: Path) -> Shell:
    return Shell(stack, tmp_path)


async def test_a_run_is_started_once_and_keeps_its_history(
    shell: Shell, spark_settings: SparkSettings
) -> None:
    store = S3ObjectStore(spark_settings)
    date, name = f"{secrets.randbelow(900) + 4_100}-01-01", f"export-{secrets.token_hex(4)}"
    await put_user_day(store, date, name, [20])
    words = ("export", "--date", date, "--set", "table=user_day", "--name", name)
    code, run = shell(*words, "--wait")
    assert (code, run["state"], run["result"]["counts"]["rows"]) == (0, "Succeeded", 20), run
    assert [attempt["exitCode"] for attempt in run["attempts"]] == [0]
    assert shell(*words, "--wait") == (0, run)
    code, error = shell("export", "--date", date, "--set", "table=sessions", "--name", name)
    assert code == ExitCode.USAGE
    assert "another run's" in error
    assert shell("list") == (0, [run])
    assert not (RunFolder(shell.root, name).attempt(1) / "scratch").exists()


async def test_a_run_outlives_its_driver(shell: Shell, spark_settings: SparkSettings) -> None:
    store = S3ObjectStore(spark_settings)
    date, name = f"{secrets.randbelow(900) + 5_100}-01-01", f"export-{secrets.token_hex(4)}"
    await put_user_day(store, date, name, [20])
    folder = RunFolder(shell.root.resolve(), name)
    runs = LocalRuns(shell.root, shell.environment)
    killed: list[int] = []

    def kill_once(run: Run) -> None:
        """Kill the driver as soon as the job has said its first word: Spark is starting then."""
        if run.attempts and not killed and folder.log(1).exists() and folder.log(1).stat().st_size:
            holder = holder_of(folder.path)
            if holder is not None and holder.pid:
                killed.append(holder.pid)
                os.kill(holder.pid, signal.SIGKILL)

    code, run = shell(
        "export",
        "--date",
        date,
        "--set",
        "table=user_day",
        "--set",
        ".retry.initialSeconds=1",
        "--name",
        name,
    )
    assert (code, run["state"] in ("Pending", "Running")) == (0, True)
    done = runs.wait(name, within_s=280, tell=kill_once)
    assert killed
    assert [(attempt.exit_code, attempt.failure) for attempt in done.attempts] == [
        (None, "infrastructure"),
        (0, None),
    ], runs.logs(name)[-1].read_text()
    assert done.result is not None
    assert (done.state, done.result.counts["rows"], done.result.attempt) == ("Succeeded", 20, 2)
