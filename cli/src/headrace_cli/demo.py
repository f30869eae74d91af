"""``headrace demo``: start everything, send traffic, show where it went, and say whether every event is accounted for."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.progress import Progress, TaskID
from rich.table import Table

from headrace_cli.console import err, out, progress
from headrace_cli.counts import Comparison, CountsClient, CountsView, compare
from headrace_cli.demo_daily import STOP_WITHIN_S, run_daily, show_daily
from headrace_cli.journal import Journal
from headrace_cli.sender import HttpSender, SegmentLibrarySender, batches
from headrace_cli.traffic import Channel, TrafficEvent, generate
from headrace_core.errors import ExitCode, Unavailable
from headrace_local.installation import Installation, InstallationSettings

__all__ = ["DemoOptions", "reported", "run_demo", "until"]

_SOURCE = "web"
_SENDERS = 4
_QUEUE_BATCHES = 16
_POLL_S = 0.5
_STALL_S = 180.0
_STAGES = (("decided", "Decided by dedup"), ("staged", "Staged to S3"), ("loaded", "Loaded to the warehouse"))


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What a demo does. ``exit_when_done`` ends it by itself; its status is 0 only if the counts reconcile."""

    root: Path
    events: int
    seed: int
    exit_when_done: bool
    as_json: bool
    fresh: bool
    daily: bool = True
    """Whether the daily job runs in the end."""


async def run_demo(options: DemoOptions) -> ExitCode:
    """Run the demo; the exit code."""
    if options.fresh and options.root.exists():
        shutil.rmtree(options.root)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    err().print(f"Starting Kafka, an S3 server, PostgreSQL and the services in {options.root} …")
    began = time.monotonic()
    async with Installation(options.root, InstallationSettings(sources=(_SOURCE,))) as installation:
        err().print(f"Everything is up after {time.monotonic() - began:.1f} s.")
        code = await until(stop, _all(installation, options))
        if not options.exit_when_done and not stop.is_set():
            _say_what_next(installation)
            await stop.wait()
    return code


async def until(stop: asyncio.Event, work: Coroutine[object, object, ExitCode]) -> ExitCode:
    """Run the work, but stop it where a person wants that; it gets the time to end what it has begun."""
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task}, timeout=STOP_WITHIN_S + 5)
    if task.done() and not task.cancelled() and task.exception() is None:
        return task.result()
    return ExitCode.RETRY_LATER


async def _all(installation: Installation, options: DemoOptions) -> ExitCode:
    """The traffic, then the daily job; the first code that is not OK."""
    code, report = await _traffic(installation, options)
    with reported(report, as_json=options.as_json):
        if options.daily and code is ExitCode.OK:
            report["daily"] = {"state": "Unfinished"}
            end = await run_daily(installation)
            code = end.code
            report["daily"] = {
                "state": end.run.state,
                "sessions": end.sessions,
                **(end.day.counts if end.day else {}),
            }
            if not options.as_json:
                show_daily(end)
    return code


@contextmanager
def reported(report: Mapping[str, object], *, as_json: bool) -> Iterator[None]:
    """Print the report as JSON in the end, however that comes; for people it was printed as the traffic ended."""
    try:
        yield
    finally:
        if as_json:
            out().print_json(json.dumps(report))


async def _traffic(installation: Installation, options: DemoOptions) -> tuple[ExitCode, dict[str, object]]:
    journal = Journal(options.root / "journal.jsonl")
    async with httpx.AsyncClient(base_url=installation.api_url, timeout=10.0) as client:
        counts = CountsClient(client)
        before = await counts.read()
        began = time.monotonic()
        with progress() as bars:
            watching = asyncio.create_task(_watch(bars, counts, before, options.events))
            try:
                await _send_all(installation, options, journal, bars)
                sent_s = time.monotonic() - began
                after = await _settled(counts)
            finally:
                watching.cancel()
        journal.close()
    lines = compare(journal, before, after)
    total_s = time.monotonic() - began
    good = after.reconciles and after.settled and all(line.equal for line in lines)
    report: dict[str, object] = {
        "accounted_for": good,
        "lines": {line.name: {"journaled": line.journaled, "counted": line.counted} for line in lines},
        "quarantine_reasons": after.quarantine_reasons,
        "repeated_requests": journal.repeated_requests,
        "sent_s": round(sent_s, 2),
        "loaded_s": round(total_s, 2),
        "failed_checks": [check for check in after.checks if not check["holds"]],
    }
    if not options.as_json:
        _summarise(options, journal=journal, lines=lines, after=after, sent_s=sent_s, total_s=total_s)
    return (ExitCode.OK if good else ExitCode.BAD_DATA), report


async def _send_all(
    installation: Installation, options: DemoOptions, journal: Journal, bars: Progress
) -> None:
    """Generate in a thread, send with several connections; the queue between them is bounded."""
    bar = bars.add_task("Sent and acknowledged", total=options.events)
    queue: asyncio.Queue[tuple[Channel, list[TrafficEvent]] | None] = asyncio.Queue(_QUEUE_BATCHES)
    traffic = batches(
        generate(seed=options.seed, events=options.events, until_ms=time.time_ns() // 1_000_000)
    )
    key = installation.write_key(_SOURCE)
    library = SegmentLibrarySender(installation.ingest_url, key, journal)
    try:
        async with (
            HttpSender.open(installation.ingest_url, key, journal) as sender,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(_fill(queue, traffic))
            for _ in range(_SENDERS):
                tasks.create_task(_drain(queue, sender, library, bars, bar))
    finally:
        await asyncio.to_thread(library.close)


async def _fill(
    queue: asyncio.Queue[tuple[Channel, list[TrafficEvent]] | None],
    traffic: Iterator[tuple[Channel, list[TrafficEvent]]],
) -> None:
    while (batch := await asyncio.to_thread(next, traffic, None)) is not None:
        await queue.put(batch)
    for _ in range(_SENDERS):
        await queue.put(None)


async def _drain(
    queue: asyncio.Queue[tuple[Channel, list[TrafficEvent]] | None],
    sender: HttpSender,
    library: SegmentLibrarySender,
    bars: Progress,
    bar: TaskID,
) -> None:
    while (batch := await queue.get()) is not None:
        channel, events = batch
        if channel is Channel.SDK:
            await asyncio.to_thread(library.send, events)
        else:
            await sender.send(channel, events)
        bars.advance(bar, len(events))


async def _watch(bars: Progress, counts: CountsClient, before: CountsView, events: int) -> None:
    """Move the bars of the stages until cancelled."""
    tasks = {name: bars.add_task(title, total=events) for name, title in _STAGES}
    while True:
        await asyncio.sleep(_POLL_S)
        try:
            now = await counts.read()
        except Unavailable:
            continue
        gained = {name: now.totals[name] - before.totals[name] for name in now.totals}
        decided = gained["accepted"] + gained["duplicate"] + gained["quarantined"]
        bars.update(tasks["decided"], completed=decided, total=max(gained["received"], events))
        bars.update(tasks["staged"], completed=gained["staged"], total=gained["accepted"] or events)
        bars.update(tasks["loaded"], completed=gained["loaded"], total=gained["accepted"] or events)


async def _settled(counts: CountsClient) -> CountsView:
    """Wait until nothing is on its way; Unavailable where nothing moves for minutes."""
    last, moved = None, time.monotonic()
    while True:
        now = await counts.read()
        if now.settled:
            return now
        if now.totals != last:
            last, moved = now.totals, time.monotonic()
        if time.monotonic() - moved > _STALL_S:
            raise Unavailable(
                "The pipeline stands still with events on their way.",
                why=f"In flight: {now.in_flight}.",
                fix="See the logs of the services beside the stack's folder.",
                code="pipeline_stalled",
            )
        await asyncio.sleep(_POLL_S)


def _summarise(
    options: DemoOptions,
    *,
    journal: Journal,
    lines: list[Comparison],
    after: CountsView,
    sent_s: float,
    total_s: float,
) -> None:
    good = after.reconciles and after.settled and all(line.equal for line in lines)
    table = Table(
        "", "journaled by the sender", "counted by Headrace", "", title=f"{options.events:,} events"
    )
    for line in lines:
        table.add_row(
            line.name, f"{line.journaled:,}", f"{line.counted:,}", "equal" if line.equal else "DIFFERENT"
        )
    out().print(table)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in after.quarantine_reasons.items())
    out().print(f"In quarantine, byte for byte, with the reason: {reasons or 'nothing'}.")
    out().print(
        f"Sent in {sent_s:.1f} s ({options.events / sent_s:,.0f} events/s with the generator on the same machine), "
        f"all of them in the warehouse after {total_s:.1f} s."
    )
    if journal.repeated_requests:
        out().print(f"{journal.repeated_requests} requests were repeated: their outcome was unknown.")
    out().print("Every event is accounted for." if good else "NOT every event is accounted for.")


def _say_what_next(installation: Installation) -> None:
    key = installation.write_key(_SOURCE)
    out().print(f"\nConsole      {installation.api_url}/")
    out().print(f'Send one     curl -u {key}: -d \'{{"name":"Hello"}}\' {installation.ingest_url}/v1/events')
    out().print(f"Warehouse    psql '{installation.stack.endpoints.postgres_dsn}'")
    out().print("Ctrl-C stops everything; the data stay for the next start.")
