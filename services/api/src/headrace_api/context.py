"""What an API process owns, from start to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import yaml

from headrace_api.app import create_app
from headrace_api.census import Census
from headrace_api.ends import LogEnds
from headrace_api.feeds import Feeds
from headrace_api.live import LiveTail
from headrace_api.lookups import LogLookups
from headrace_api.manifests import ManifestIndex
from headrace_api.run_routes import run_routes
from headrace_api.run_tokens import RunTokens, read_run_tokens
from headrace_api.settings import ApiSettings
from headrace_api.warehouse import WarehouseReader
from headrace_api.xray import Tracer
from headrace_core.errors import ConfigurationError, Unavailable
from headrace_runtime.admin_http import AsgiApp
from headrace_runtime.cluster_runs import ClusterRuns
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.kubernetes import HttpKubernetesApi
from headrace_runtime.kubernetes_connection import KubernetesConnection
from headrace_runtime.process import Lifecycle
from headrace_runtime.s3 import S3ObjectStore

__all__ = ["Context", "read_tokens"]

_MANIFESTS_PER_PARTITION = 5_000
_RETRY_WAIT_S = 1.0


class Context:
    """Readers, store and warehouse connection with the parts built on them."""

    def __init__(self, life: Lifecycle, settings: ApiSettings) -> None:
        connection = KafkaConnection.from_settings(settings, client_id="headrace-api")
        self.readers = [KafkaLogReader(connection) for _ in range(4)]
        index, quarantine, single, tail = self.readers
        self.life = life
        self.census = Census(
            settings.partitions, keep_records=settings.census_records, keep_minutes=settings.census_minutes
        )
        self.manifests = ManifestIndex(settings.partitions, _MANIFESTS_PER_PARTITION)
        self.warehouse = WarehouseReader(settings.warehouse_dsn.get_secret_value())
        self.xray_warehouse = WarehouseReader(settings.warehouse_dsn.get_secret_value())
        self.live = LiveTail(tail, self.census, settings.poll_interval_s)
        self.ends = LogEnds(index, self.census)
        self.feeds = Feeds(
            life,
            self.census,
            self.manifests,
            index=index,
            quarantine=quarantine,
            ends=self.ends,
            store=S3ObjectStore.from_settings(settings),
            warehouse=self.warehouse,
            poll_interval_s=settings.poll_interval_s,
        )
        self._settings = settings
        self._cluster_runs: ClusterRuns | None = None
        self.tracer = Tracer(
            self.census,
            self.manifests,
            LogLookups(single, settings.lookup_deadline_s),
            self.xray_warehouse,
            settings.lookup_deadline_s,
        )

    def app(self) -> AsgiApp:
        """The HTTP interface over these parts."""
        telemetry, path = self.life.telemetry, self._settings.run_tokens_file
        runs = None if path is None else run_routes(self._runs, read_tokens(path), telemetry)
        return create_app(self.census, self.ends, self.tracer, self.live, telemetry, runs=runs)

    def _runs(self) -> ClusterRuns:
        if self._cluster_runs is None:
            raise Unavailable(
                "The Kubernetes API is not connected yet.",
                why="The process is starting.",
                fix="Try again in a moment.",
                code="starting",
            )
        return self._cluster_runs

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Feeds and tail run for the time of the context. Waits for Kafka as long as it takes."""
        async with AsyncExitStack() as stack:
            if self._settings.run_tokens_file is not None:
                connection = await KubernetesConnection.open(self._settings)
                api = await stack.enter_async_context(HttpKubernetesApi.open(connection))
                self._cluster_runs = ClusterRuns(api, connection.namespace)
            for reader in self.readers:
                await self._start(reader)
                stack.push_async_callback(reader.stop)
            stack.push_async_callback(self.warehouse.close)
            stack.push_async_callback(self.xray_warehouse.close)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.feeds.run())
                tasks.create_task(self.live.run(self.life))
                yield

    async def _start(self, reader: KafkaLogReader) -> None:
        while not self.life.stopping.is_set():
            try:
                await reader.start(deadline_s=10.0)
            except Unavailable as error:
                self.life.health.down("kafka", error.what)
                await self.life.sleep(_RETRY_WAIT_S)
            else:
                return


def read_tokens(path: Path) -> RunTokens:
    """The tokens of a file. ConfigurationError where it cannot be read."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise _tokens_unreadable(path, str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        # The error quotes the file, which may hold a token by mistake.
        raise _tokens_unreadable(path, f"It is not YAML ({type(error).__name__}).") from None
    return read_run_tokens(content)


def _tokens_unreadable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The file of run tokens {path} cannot be read.",
        why=why,
        fix="Set HEADRACE_RUN_TOKENS_FILE to a YAML file, or leave it out to offer no /v1/runs.",
        code="run_tokens",
    )
