"""`python -m headrace_loader customers`: resolve all edges and write who is who into the warehouse, once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import msgspec

from headrace_core.errors import RetryLater
from headrace_core.identity import resolve
from headrace_loader.migrate import check_revision
from headrace_loader.warehouse_customers import Written, write_customers
from headrace_runtime.edge_log import EdgeSnapshot, read_edges
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.settings import KafkaSettings, WarehouseSettings
from headrace_runtime.warehouse import PostgresConnection

__all__ = ["CustomersSettings", "Published", "publish_customers"]

_LOCK = 0x6864_6375
"""Advisory lock of the one process that publishes: what it read is what it writes, and nobody writes older edges over it."""
_CONNECT_DEADLINE_S = 30.0
_READ_DEADLINE_S = 600.0


class CustomersSettings(KafkaSettings, WarehouseSettings):
    """Where edges come from and customers go."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did: edges below ``offset``, what they say, and what changed in the warehouse."""

    offset: int
    customers: int
    aliases: int
    ambiguous: dict[str, int]
    written: Written


async def publish_customers(settings: CustomersSettings) -> Published:
    """Read, resolve, write. RetryLater where another process does it, or the warehouse is not migrated."""
    connection = await PostgresConnection.connect(
        settings.warehouse_dsn.get_secret_value(), application_name="headrace-customers"
    )
    try:
        await check_revision(connection)
        [[alone]] = await connection.execute(f"SELECT pg_try_advisory_lock({_LOCK})")
        if not alone:
            raise RetryLater(
                "Another process publishes customers.",
                fix="Nothing: it does the same.",
                code="customers_busy",
            )
        snapshot = await _read(settings)
        return await _publish(connection, snapshot)
    finally:
        await connection.close()


async def _read(settings: CustomersSettings) -> EdgeSnapshot:
    reader = KafkaLogReader(KafkaConnection.from_settings(settings, client_id="headrace-customers"))
    await reader.start(deadline_s=_CONNECT_DEADLINE_S)
    try:
        return await read_edges(reader, deadline_s=_READ_DEADLINE_S)
    finally:
        await reader.stop()


async def _publish(connection: PostgresConnection, snapshot: EdgeSnapshot) -> Published:
    resolution = await asyncio.to_thread(resolve, snapshot.records)
    return Published(
        offset=snapshot.offset,
        customers=len(resolution.customers),
        aliases=len(resolution.aliases),
        ambiguous=dict(Counter(each.reason for each in resolution.ambiguous)),
        written=await write_customers(connection, resolution.aliases, now_us=time.time_ns() // 1_000),
    )
