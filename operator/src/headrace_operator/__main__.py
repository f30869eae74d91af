"""`python -m headrace_operator` runs the operator of one namespace."""

from __future__ import annotations

import os
import sys

from headrace_core.errors import ConfigurationError, ExitCode
from headrace_operator.context import Operator
from headrace_operator.installation import planner_of, read_installation
from headrace_operator.measurements import Measurements
from headrace_operator.settings import OperatorSettings
from headrace_runtime.admin_http import admin_server
from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection
from headrace_runtime.process import Lifecycle, run
from headrace_runtime.settings import load_settings


def _end_at_once(why: str) -> None:
    """Another process may lead by now: nothing more may be sent, not even what is under way."""
    print(f"The Lease is lost, the process ends at once: {why}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(ExitCode.RETRY_LATER)


async def _run(life: Lifecycle, settings: OperatorSettings) -> None:
    planner = planner_of(read_installation(settings.runs_file))
    measurements = Measurements(life.telemetry, life.clock)
    connection = await KubernetesConnection.open(settings)
    async with (
        admin_server(settings.http_host, settings.http_port, life.health, life.telemetry),
        HttpKubernetesApi.open(connection, on_answer=measurements.answered) as api,
    ):
        operator = Operator(
            connection,
            api,
            settings,
            clock=life.clock,
            health=life.health,
            measurements=measurements,
            planner=planner,
            on_lost=_end_at_once,
        )
        await operator.run(life.stopping, life.take_signals)


def main() -> int:
    """The command line; the exit code."""
    try:
        settings = load_settings(OperatorSettings, os.environ)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201  (logging is not set up yet)
        return error.exit_code
    return run("operator", settings, lambda life: _run(life, settings))


if __name__ == "__main__":
    sys.exit(main())
