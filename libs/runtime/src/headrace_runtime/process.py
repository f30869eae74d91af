"""The life of a process: logging, signals, a deadline for the end, and exit codes that say what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TextIO

import uvloop

from headrace_core.clock import Clock, SystemClock
from headrace_core.errors import ExitCode, HeadraceError
from headrace_runtime.allocator import keep_freed_memory
from headrace_runtime.collector import calm_collector
from headrace_runtime.health import Health
from headrace_runtime.settings import ProcessSettings
from headrace_runtime.telemetry import Telemetry

__all__ = ["Lifecycle", "configure_logging", "exit_code_of", "run"]

_log = logging.getLogger(__name__)
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, then the fields of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """JSON lines on ``stream`` (standard error by default) from ``level`` on; libraries from WARNING on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("headrace").setLevel(level)
    for package in (
        "core",
        "runtime",
        "ingest",
        "dedup",
        "loader",
        "api",
        "spark",
        "local",
        "cli",
        "operator",
    ):
        logging.getLogger(f"headrace_{package}").setLevel(level)


class Lifecycle:
    """What a process owns from start to end. ``stopping`` is set by the first SIGTERM or SIGINT."""

    def __init__(self, name: str, settings: ProcessSettings, clock: Clock, telemetry: Telemetry) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.telemetry = telemetry
        self.health = Health(clock)
        self.stopping = asyncio.Event()

    def take_signals(self) -> None:
        """Let SIGTERM and SIGINT stop this process; again after a library has taken them for itself."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)

    def _stop(self, signal_number: int) -> None:
        if self.stopping.is_set():
            os._exit(128 + signal_number)  # asked twice: the person wants it gone now
        _log.info("The process was asked to stop.", extra={"signal": signal.Signals(signal_number).name})
        self.stopping.set()
        asyncio.get_running_loop().call_later(self.settings.shutdown_grace_s, _end_by_force)

    async def sleep(self, seconds: float) -> bool:
        """Wait, but not beyond the stop; whether the process goes on."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return True
        return False


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that an error asks for; of a group the gravest. A foreign error is a bug."""
    if isinstance(error, HeadraceError):
        return error.exit_code
    if isinstance(error, BaseExceptionGroup):
        codes = [exit_code_of(inner) for inner in error.exceptions]
        return next((code for code in (ExitCode.BUG, ExitCode.CONFIGURATION) if code in codes), codes[0])
    return ExitCode.BUG


def _report(error: BaseException) -> None:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            _report(inner)
    elif isinstance(error, HeadraceError):
        fields = {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}
        _log.error("The process stops on an error.", extra=fields)
    else:
        _log.error("The process stops on an unexpected error.", exc_info=error)


async def _main(name: str, settings: ProcessSettings, main: Callable[[Lifecycle], Awaitable[None]]) -> None:
    telemetry = Telemetry.create(f"headrace-{name}", settings.instance, settings.otlp_endpoint)
    life = Lifecycle(name, settings, SystemClock(), telemetry)
    life.take_signals()
    try:
        await main(life)
    finally:
        await asyncio.to_thread(telemetry.shutdown)


def _end_by_force() -> None:
    """Past the grace period nothing may hold the process: a client library can hang while its peer is gone."""
    _log.error("The grace period is over, the process ends with work in flight.")
    sys.stderr.flush()
    os._exit(ExitCode.RETRY_LATER)


def run(name: str, settings: ProcessSettings, main: Callable[[Lifecycle], Awaitable[None]]) -> int:
    """Run ``main`` until it returns; the process exit code. SIGTERM sets ``stopping`` and starts the grace period."""
    configure_logging(settings.log_level)
    keep_freed_memory()
    calm_collector()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(name, settings, main))
    except (Exception, BaseExceptionGroup) as error:
        _report(error)
        return exit_code_of(error)
    return ExitCode.OK
