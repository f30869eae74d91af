"""What a process of the roles `stage` and `archive` owns, from start to end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from headrace_core.errors import Unavailable
from headrace_core.topics import BATCHES_STAGED, EVENTS_RAW
from headrace_loader.log_identity import LogIdentity, read_log_identity
from headrace_loader.settings import StageSettings
from headrace_loader.stage_lines import StageLine
from headrace_loader.stage_worker import StageWorker
from headrace_loader.staged_notes import StagedNotes
from headrace_runtime.admin_http import admin_server
from headrace_runtime.kafka import KafkaConnection, KafkaGroup, KafkaLogAdmin, KafkaLogReader, KafkaLogWriter
from headrace_runtime.process import Lifecycle
from headrace_runtime.s3 import S3ObjectStore

__all__ = ["run_stage"]

_START_DEADLINE_S = 15.0
_RETRY_S = 1.0

ResultT = TypeVar("ResultT")


async def run_stage(life: Lifecycle, settings: StageSettings, lines: Sequence[StageLine]) -> None:
    """Serve health and metrics, and stage until the process is asked to stop."""
    async with admin_server(settings.http_host, settings.http_port, life.health, life.telemetry):
        life.health.down("kafka", "No broker has answered yet.")
        life.health.down("group", "This worker owns no partitions yet.")
        async with _worker(life, settings, lines) as worker:
            if worker is not None:
                await worker.run()


@asynccontextmanager
async def _worker(
    life: Lifecycle, settings: StageSettings, lines: Sequence[StageLine]
) -> AsyncIterator[StageWorker | None]:
    """The worker with its clients started; None where the process was asked to stop before they were."""
    connection = KafkaConnection.from_settings(settings, client_id="headrace-loader")
    topics = {topic.name: topic for topic in (*(line.topic for line in lines), EVENTS_RAW, BATCHES_STAGED)}
    admin = KafkaLogAdmin(connection)
    reader, writer = KafkaLogReader(connection), KafkaLogWriter(connection)
    group = KafkaGroup(
        connection,
        group=settings.stage_group,
        topics=[line.topic.name for line in lines],
        instance_id=settings.instance if settings.stage_static_member else None,
    )

    async def identify() -> LogIdentity:
        return await read_log_identity(
            admin, topics.values(), settings.partitions, deadline_s=_START_DEADLINE_S
        )

    async def begin(client: _Client) -> bool:
        begun = await _patiently(life, partial(_start, client))
        if begun:
            stack.push_async_callback(client.stop)
        return begun is not None

    async with AsyncExitStack() as stack:
        log = await _patiently(life, identify) if await begin(admin) else None
        # The group comes last: no partition is taken by a process that would refuse this log.
        if log is None or not all([await begin(client) for client in (reader, writer, group)]):
            yield None
            return
        yield StageWorker(
            life,
            settings,
            lines,
            log=log,
            identify=identify,
            reader=reader,
            group=group,
            store=S3ObjectStore.from_settings(settings),
            notes=StagedNotes(writer),
        )


class _Client(Protocol):
    async def start(self, *, deadline_s: float = ...) -> None: ...

    async def stop(self, *, deadline_s: float = ...) -> None: ...


async def _start(client: _Client) -> bool:
    await client.start(deadline_s=_START_DEADLINE_S)
    return True


async def _patiently(life: Lifecycle, ask: Callable[[], Awaitable[ResultT]]) -> ResultT | None:
    """The answer of the log, waited for as long as it takes; None where the process was asked to stop first."""
    while not life.stopping.is_set():
        try:
            answer = await ask()
        except Unavailable as error:
            life.health.down("kafka", error.what)
            await life.sleep(_RETRY_S)
        else:
            life.health.up("kafka")
            return answer
    return None
