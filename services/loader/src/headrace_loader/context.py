"""What a process of the roles `stage` and `archive` owns, from start to end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

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
    reader, writer = KafkaLogReader(connection), KafkaLogWriter(connection)
    group = KafkaGroup(
        connection,
        group=settings.stage_group,
        topics=[line.topic.name for line in lines],
        instance_id=settings.instance if settings.stage_static_member else None,
    )
    async with AsyncExitStack() as stack:
        log = await _log_identity(life, settings, connection, lines)
        for client in (reader, writer, group):
            if log is None or not await _started(life, client.start):
                yield None
                return
            stack.push_async_callback(client.stop)
        assert log is not None
        store, notes = S3ObjectStore.from_settings(settings), StagedNotes(writer)
        yield StageWorker(
            life, settings, lines, log=log, reader=reader, group=group, store=store, notes=notes
        )


async def _log_identity(
    life: Lifecycle, settings: StageSettings, connection: KafkaConnection, lines: Sequence[StageLine]
) -> LogIdentity | None:
    """Ids of the log, waited for as long as it takes; None where the process was asked to stop."""
    admin, found = KafkaLogAdmin(connection), None
    topics = {topic.name: topic for topic in (*(line.topic for line in lines), EVENTS_RAW, BATCHES_STAGED)}

    async def read(*, deadline_s: float) -> None:
        nonlocal found
        await admin.start(deadline_s=deadline_s)
        try:
            found = await read_log_identity(
                admin, topics.values(), settings.partitions, deadline_s=deadline_s
            )
        finally:
            await admin.stop()

    await _started(life, read)
    return found


async def _started(life: Lifecycle, start: Callable[..., Awaitable[None]]) -> bool:
    """Try until it succeeds; False where the process was asked to stop first."""
    while not life.stopping.is_set():
        try:
            await start(deadline_s=_START_DEADLINE_S)
        except Unavailable as error:
            life.health.down("kafka", error.what)
            await life.sleep(_RETRY_S)
        else:
            life.health.up("kafka")
            return True
    return False
