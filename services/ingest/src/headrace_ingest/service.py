"""Puts the service together, runs it, and drains it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import uvicorn

from headrace_core.errors import Unavailable
from headrace_ingest.admission import Admission
from headrace_ingest.api import build_api
from headrace_ingest.asgi import Switch
from headrace_ingest.fast_lane import fast_lane_protocol
from headrace_ingest.intake import Intake
from headrace_ingest.key_store import KeyStore
from headrace_ingest.log_sink import LogSink
from headrace_ingest.log_watch import LogWatch, check_topics
from headrace_ingest.settings import IngestSettings
from headrace_ingest.tally import Tally
from headrace_ingest.wire_guard import sweep
from headrace_runtime.admin_http import QuietServer, listen, serve
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin, KafkaLogWriter
from headrace_runtime.mapping_folder import MappingFolder
from headrace_runtime.process import Lifecycle

__all__ = ["run_service"]

_log = logging.getLogger(__name__)
_CONNECT_DEADLINE_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_HTTP_CLOSE_SHARE, _BATCH_CLOSE_SHARE = 0.5, 0.3
_KEEP_ALIVE_S = 75
"""Longer than the idle time of common load balancers, so that they and not we end a connection."""
_HOUSEKEEPING_EVERY_S = 1.0


async def run_service(life: Lifecycle, settings: IngestSettings) -> None:
    """Serve until the process is asked to stop. Raises ConfigurationError where a restart would not help."""
    keys = KeyStore(settings.write_keys_file, settings.write_keys_pepper_file)
    admission = Admission(settings.max_bytes_in_flight)
    tally = Tally(life.telemetry, admission)
    log = _Log(life, settings)
    intake = Intake(
        clock=life.clock,
        keys=keys,
        mappings=MappingFolder(settings.mappings_dir),
        watch=log.watch,
        admission=admission,
        tally=tally,
        telemetry=life.telemetry,
        partitions=settings.partitions,
        trusted_hops=settings.trusted_proxy_hops,
    )
    life.health.down("kafka", "No broker has answered yet.")
    async with _http_server(life, settings, intake, tally) as server, asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(_keep_house(life, server, tally), name="housekeeping"),
            tasks.create_task(keys.follow(life), name="write-keys"),
            tasks.create_task(_open_log(log, intake), name="log"),
        ]
        await life.stopping.wait()
        life.health.down("process", "It drains, and will end.")
        for task in background:
            task.cancel()
    # Every connection is closed by now: what the batchers still hold has nobody left who waits for it.
    await log.close(intake)
    tally.flush()


class _Log:
    """Kafka as this service uses it: one client to look, one to append."""

    def __init__(self, life: Lifecycle, settings: IngestSettings) -> None:
        connection = KafkaConnection.from_settings(settings, client_id="headrace-ingest")
        self._life, self._settings = life, settings
        self._admin, self._writer = KafkaLogAdmin(connection), KafkaLogWriter(connection)
        self.watch = LogWatch(life, self._admin, grace_s=settings.ack_deadline_s)

    async def open(self) -> LogSink | None:
        """A sink, as soon as Kafka answers; None where the process stops before. Raises ConfigurationError."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._connect()
            except Unavailable as error:
                self._life.health.down("kafka", str(error))
                _log.warning("Kafka cannot be reached yet.", extra={"why": error.why})
            if not await self._life.sleep(pause_s * random.uniform(0.5, 1.0)):  # noqa: S311  (spreads retries)
                return None
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _connect(self) -> LogSink:
        settings = self._settings
        await self._admin.start(deadline_s=_CONNECT_DEADLINE_S)
        try:
            await check_topics(self._admin, settings.partitions, deadline_s=_CONNECT_DEADLINE_S)
            await self._writer.start(deadline_s=_CONNECT_DEADLINE_S)
        except BaseException:
            await self._admin.stop(deadline_s=1.0)
            raise
        self._life.health.up("kafka")
        return LogSink(
            self._writer,
            settings.partitions,
            deadline_s=settings.ack_deadline_s,
            limit_bytes=settings.max_bytes_in_flight,
        )

    async def close(self, intake: Intake) -> None:
        """Finish what is under way, then disconnect."""
        sink = intake.close()
        if sink is None:
            return
        left = await sink.close(deadline_s=self._settings.shutdown_grace_s * _BATCH_CLOSE_SHARE)
        _log.info("Ingest has drained.", extra={"requests_without_outcome": left})
        await asyncio.gather(self._writer.stop(deadline_s=1.0), self._admin.stop(deadline_s=1.0))


async def _open_log(log: _Log, intake: Intake) -> None:
    sink = await log.open()
    if sink is not None:
        intake.open(sink)
        await log.watch.follow()


async def _keep_house(life: Lifecycle, server: QuietServer, tally: Tally) -> None:
    """Once a second: late connections end, counts reach telemetry."""
    loop = asyncio.get_running_loop()
    while await life.sleep(_HOUSEKEEPING_EVERY_S):
        sweep(server.server_state, loop.time())
        tally.flush()


@asynccontextmanager
async def _http_server(
    life: Lifecycle, settings: IngestSettings, intake: Intake, tally: Tally
) -> AsyncIterator[QuietServer]:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a stranger's bad HTTP is counted, not logged
    api = build_api(life.health, life.telemetry, tally, version("headrace-ingest"))
    config = uvicorn.Config(
        Switch(intake, api, body_deadline_s=settings.body_deadline_s),
        http=fast_lane_protocol(
            intake,
            tally,
            body_deadline_s=settings.body_deadline_s,
            keep_alive_s=_KEEP_ALIVE_S,
            connection_limit=settings.max_connections,
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    listener = listen(settings.http_host, settings.http_port)
    host, port = listener.getsockname()[:2]
    _log.info("Ingest listens.", extra={"host": host, "port": port})
    async with serve(config, listener, grace_s=settings.shutdown_grace_s * _HTTP_CLOSE_SHARE) as server:
        yield server
