"""One attempt from start to end: the job under its deadline and the process's signals, and the result that it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path

from headrace_core.errors import HeadraceError, RetryLater
from headrace_core.pipeline_run import RunResult, RunSpec, encode_run
from headrace_runtime.errors_store import StoreUnavailable
from headrace_runtime.process import Lifecycle
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.context import Context
from headrace_spark.cpu_time import tree_cpu_s
from headrace_spark.driver import SparkDriver
from headrace_spark.lake_store import LakeStore
from headrace_spark.outcome import Attempt, JobOutcome, failed, gravest, succeeded, termination_message
from headrace_spark.progress import Progress
from headrace_spark.registry import Job
from headrace_spark.run_time import past_deadline
from headrace_spark.settings import SparkSettings

__all__ = ["run_attempt"]

_log = logging.getLogger(__name__)
_CANCELLED_WITHIN_S = 4.0
_HURRIED_S = 4.0
_CLOSED_WITHIN_S = 4.0
_DEFAULT_LOG = Path("/dev/termination-log")
"""Exists in a pod alone; elsewhere nothing makes it."""


async def run_attempt(
    life: Lifecycle, settings: SparkSettings, attempt: Attempt, spec: RunSpec, job: Job
) -> None:
    """Run the job, leave its result behind, and raise what it failed with."""
    context = _context(life, settings, attempt, spec)
    try:
        result, error = await _outcome(life, context, spec, job)
        try:
            await _store(context, result, hurried=life.stopping.is_set())
        except HeadraceError as lost:
            _log.error("The result could not be stored.", extra={"error": str(lost)})
            if error is None:
                error, result = lost, _failed(context, lost)
        _announce(settings.termination_log, result)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(context.spark.close), _CLOSED_WITHIN_S)
    # A thread that Spark does not give back would hold the process: past this it is left behind.
    asyncio.get_running_loop().call_later(_CLOSED_WITHIN_S, os._exit, result.exit_code)
    if error is not None:
        raise gravest(error)


async def _outcome(
    life: Lifecycle, context: Context, spec: RunSpec, job: Job
) -> tuple[RunResult, BaseException | None]:
    """The result, and what the job failed with."""
    try:
        outcome = await _supervise(life, context, spec, job)
    except (Exception, BaseExceptionGroup) as error:
        return _failed(context, error), error
    ended_ms = context.clock.now_ms()
    return succeeded(context.attempt, outcome, context.progress.stages, ended_ms=ended_ms), None


def _failed(context: Context, error: BaseException) -> RunResult:
    ended_ms = context.clock.now_ms()
    return failed(context.attempt, error, context.days, context.progress.stages, ended_ms=ended_ms)


def _context(life: Lifecycle, settings: SparkSettings, attempt: Attempt, spec: RunSpec) -> Context:
    progress = Progress(life.clock, sys.stderr, lambda: tree_cpu_s(os.getpid()))
    store = S3ObjectStore.from_settings(settings)
    return Context(
        attempt=attempt,
        settings=settings,
        clock=life.clock,
        store=store,
        lake=LakeStore(store, deadline_s=settings.store_deadline_s),
        spark=SparkDriver(settings, progress),
        progress=progress,
        ends_by_ms=attempt.started_ms + spec.deadline_seconds * 1000,
    )


async def _supervise(life: Lifecycle, context: Context, spec: RunSpec, job: Job) -> JobOutcome:
    """The job's outcome; RetryLater where a signal or the deadline comes first, once the job has let go."""
    work = asyncio.ensure_future(job(context, spec))
    stop = asyncio.create_task(life.stopping.wait())
    try:
        await asyncio.wait([work, stop], timeout=spec.deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
    if work.done():
        return work.result()
    await _cancel(context, work)
    raise _stopped() if life.stopping.is_set() else past_deadline()


async def _cancel(context: Context, work: asyncio.Future[JobOutcome]) -> None:
    """Cancel the job and what Spark runs for it; returns when the job has let go, or does not for too long."""
    _log.info("The job is cancelled.")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(context.spark.cancel), _CANCELLED_WITHIN_S)
    work.cancel()
    await asyncio.wait([work], timeout=_CANCELLED_WITHIN_S)
    if work.done() and not work.cancelled() and (error := work.exception()) is not None:
        _log.info("The job ended by an error on its cancellation.", extra={"error": repr(error)})


async def _store(context: Context, result: RunResult, *, hurried: bool) -> None:
    """Store the result where everybody looks for it; StoreUnavailable where the store does not answer in time."""
    within_s = _HURRIED_S if hurried else context.settings.store_deadline_s
    try:
        async with asyncio.timeout(within_s):
            await context.lake.store_result(result)
    except TimeoutError:
        raise StoreUnavailable(
            "The result of the run could not be stored.",
            why=f"The object store gave no answer within {within_s:g} s.",
            fix="Check that the store is up; the next attempt finds what this one swapped.",
            code="store_unavailable",
        ) from None


def _announce(termination_log: Path, result: RunResult) -> None:
    """Print the result, and leave what fits of it to Kubernetes."""
    sys.stdout.write(encode_run(result).decode() + "\n")
    sys.stdout.flush()
    if termination_log.exists() or termination_log != _DEFAULT_LOG:
        try:
            termination_log.write_bytes(termination_message(result))
        except OSError as error:
            _log.warning("The termination log cannot be written.", extra={"error": str(error)})


def _stopped() -> RetryLater:
    return RetryLater(
        "The run was stopped before its end.",
        why="The process was asked to end (SIGTERM): a person or the platform wanted that.",
        fix="The next attempt begins anew; nothing that was swapped is lost or done twice.",
        code="stopped",
    )
