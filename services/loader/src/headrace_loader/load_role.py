"""What a process of the role `load` owns, from start to end; and the commands `migrate`, `customers` and `release`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from headrace_core.errors import HeadraceError, Unavailable
from headrace_loader.customers_command import CustomersSettings, publish
from headrace_loader.load_discovery import LoadDiscovery
from headrace_loader.load_notes import LoadedNotes, StagedHints
from headrace_loader.load_plan import LoadLimits
from headrace_loader.load_worker import LoadWorker
from headrace_loader.migrate import check_revision, migrate
from headrace_loader.settings import LoadSettings
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_runtime.admin_http import admin_server
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader, KafkaLogWriter
from headrace_runtime.process import Lifecycle, run
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import WarehouseSettings, load_settings

__all__ = ["customers_command", "migrate_command", "release_command", "run_load", "run_load_command"]

_RETRY_S = 1.0
_SHORTEST_PAUSE = 1 / 12
"""Part of the interval that a hint cannot end: it gathers the files of other partitions into one transaction."""


async def run_load(life: Lifecycle, settings: LoadSettings) -> None:
    """Serve health and metrics, and load until the process is asked to stop.

    Raises RetryLater where the warehouse is not migrated or a file has a newer schema, BadData for a broken chain.
    """
    warehouse = PostgresWarehouse(
        settings.warehouse_dsn.get_secret_value(),
        slot=settings.load_slot,
        rollups=settings.load_rollups,
        statement_timeout_s=settings.load_statement_timeout_s,
    )
    async with admin_server(settings.http_host, settings.http_port, life.health, life.telemetry):
        life.health.down("warehouse", "The warehouse has not answered yet.")
        try:
            if await _until_available(life, lambda: _check(warehouse)):
                await _load(life, settings, warehouse)
        finally:
            await warehouse.close()


async def _load(life: Lifecycle, settings: LoadSettings, warehouse: PostgresWarehouse) -> None:
    connection = KafkaConnection.from_settings(settings, client_id="headrace-load")
    notes = LoadedNotes(KafkaLogWriter(connection))
    hints = StagedHints(
        life, KafkaLogReader(connection), shortest_s=settings.load_interval_s * _SHORTEST_PAUSE
    )
    store = S3ObjectStore.from_settings(settings)
    discovery = LoadDiscovery(
        store, warehouse, partitions=settings.partitions, deadline_s=settings.store_deadline_s
    )
    worker = LoadWorker(
        life,
        store,
        warehouse,
        discovery,
        writer=settings.instance,
        cadence_s=settings.load_interval_s,
        limits=LoadLimits(settings.load_rows, settings.load_bytes),
        store_deadline_s=settings.store_deadline_s,
        wait=hints.wait,
        announce=notes.add,
    )
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(notes.run()), tasks.create_task(hints.run())]
        await worker.run()
        for task in beside:
            task.cancel()


async def _check(warehouse: PostgresWarehouse) -> None:
    connection = await warehouse.connect()
    try:
        await check_revision(connection)
    finally:
        await connection.close()


async def _until_available(life: Lifecycle, step: Callable[[], Awaitable[None]]) -> bool:
    """Try until it succeeds; False where the process was asked to stop first."""
    while not life.stopping.is_set():
        try:
            await step()
        except Unavailable as error:
            life.health.down("warehouse", str(error))
            await life.sleep(_RETRY_S)
        else:
            return True
    return False


def run_load_command() -> int:
    """`load`: run the role; the exit code."""
    settings = load_settings(LoadSettings, os.environ)
    return run("load", settings, lambda life: run_load(life, settings))


def migrate_command() -> int:
    """`migrate`: bring the warehouse to this code's revision; the exit code."""
    dsn = load_settings(WarehouseSettings, os.environ).warehouse_dsn.get_secret_value()
    return _told(lambda: f"The warehouse is at revision {migrate(dsn)}.")


def customers_command() -> int:
    """`customers`: write who is who, and tell what changed as JSON; the exit code."""
    settings = load_settings(CustomersSettings, os.environ)
    return _told(lambda: msgspec.json.encode(asyncio.run(publish(settings))).decode())


def release_command(keys: Sequence[str], *, everything: bool) -> int:
    """`release`: let set-aside files be tried again; the exit code."""
    dsn = load_settings(WarehouseSettings, os.environ).warehouse_dsn.get_secret_value()

    def release() -> str:
        count = asyncio.run(PostgresWarehouse(dsn).release(keys, everything=everything))
        return f"{count} files are released; the loader tries them again with its next look."

    return _told(release)


def _told(command: Callable[[], str]) -> int:
    try:
        print(command())  # noqa: T201 # the answer of a command to a person
    except HeadraceError as error:
        print(error, file=sys.stderr)  # noqa: T201 # the same
        return error.exit_code
    return 0
