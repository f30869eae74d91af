"""The functions behind `headrace local`: up in the background and the foreground, status, down."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_local import commands
from headrace_local.errors import StackInUseError
from headrace_local.folder import holder_of
from headrace_local.stack import LocalStack

_FOREGROUND = """
import sys
from pathlib import Path
from headrace_local import commands

commands.up(Path(sys.argv[1]), on_ready=lambda stack: print("ready", flush=True), say=lambda text: print(text, flush=True))
"""


def test_a_stack_in_the_background_is_seen_and_ended(stack_folder: Path) -> None:
    ends = commands.up_detached(stack_folder)
    try:
        rows = commands.status(stack_folder)
        assert [(row.server, row.state) for row in rows] == [
            ("kafka-1", "ready"),
            ("s3", "ready"),
            ("postgres", "ready"),
        ]
        assert {row.endpoint for row in rows} >= {ends.kafka_bootstrap, ends.s3_endpoint}
        assert all(Path(row.log).exists() for row in rows)
        assert commands.up_detached(stack_folder) == ends
        s3 = next(row.pid for row in rows if row.server == "s3")
        assert s3 is not None
        os.kill(s3, signal.SIGSTOP)
        states = {row.server: row.state for row in commands.status(stack_folder)}
        assert states == {"kafka-1": "ready", "s3": "silent", "postgres": "ready"}
    finally:
        assert commands.down(stack_folder)
    assert {(row.state, row.pid) for row in commands.status(stack_folder)} == {("stopped", None)}
    assert not commands.down(stack_folder)


def test_an_empty_folder_has_no_status(stack_folder: Path) -> None:
    assert commands.status(stack_folder) == []
    assert commands.endpoints(stack_folder) is None
    assert not commands.down(stack_folder)


async def test_the_stack_of_a_program_is_not_taken_from_it(fresh_stack: LocalStack) -> None:
    for command in (commands.down, commands.up_detached):
        with pytest.raises(StackInUseError, match=f"process {os.getpid()}"):
            command(fresh_stack.root)


def test_the_foreground_restarts_what_dies_and_ends_on_a_signal(stack_folder: Path) -> None:
    program = [sys.executable, "-c", _FOREGROUND, str(stack_folder)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            killed = next(row.pid for row in commands.status(stack_folder) if row.server == "s3")
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            said = next(line for line in process.stdout if "is back" in line)
            assert said.startswith("s3 is back after")
            assert {row.state for row in commands.status(stack_folder)} == {"ready"}
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert holder_of(stack_folder) is None
