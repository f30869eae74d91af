"""Exit codes: an error decides what the process says when it ends; a group says the gravest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from headrace_core.errors import Bug, ConfigurationError, ExitCode, RetryLater, Unavailable
from headrace_runtime.process import exit_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("x"), ExitCode.UNAVAILABLE),
        (ValueError("x"), ExitCode.BUG),
        (ExceptionGroup("x", [RetryLater("x"), ConfigurationError("x")]), ExitCode.CONFIGURATION),
        (ExceptionGroup("x", [RetryLater("x"), ExceptionGroup("y", [Bug("x")])]), ExitCode.BUG),
        (ExceptionGroup("x", [RetryLater("x")]), ExitCode.RETRY_LATER),
    ],
)
def test_an_error_decides_the_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) is code


def _process(body: str) -> subprocess.Popen[str]:
    program = textwrap.dedent(
        """
        import sys
        from headrace_core.errors import ConfigurationError
        from headrace_runtime.process import run
        from headrace_runtime.settings import ProcessSettings
        async def main(life):
        {body}
        sys.exit(run("trial", ProcessSettings(), main))
        """
    ).format(body=textwrap.indent(textwrap.dedent(body), "    "))
    return subprocess.Popen(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_configuration_error_ends_with_78_and_says_the_fix() -> None:
    with _process('raise ConfigurationError("The topic is gone.", fix="Make it.", code="topic")') as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == ExitCode.CONFIGURATION
    entry = json.loads(errors.splitlines()[-1])
    assert (entry["what"], entry["fix"], entry["code"]) == ("The topic is gone.", "Make it.", "topic")


def test_sigterm_lets_the_work_end_and_the_process_leaves_with_0() -> None:
    body = """
    print("up", flush=True)
    while await life.sleep(10):
        pass
    print("drained", flush=True)
    """
    with _process(body) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (ExitCode.OK, "drained\n")
