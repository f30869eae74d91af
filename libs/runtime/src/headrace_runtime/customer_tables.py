"""Publishes who is who: reads all edges, resolves them, writes the difference to the tables of customers and aliases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec

from headrace_core.errors import RetryLater
from headrace_core.identity import resolve
from headrace_runtime.edge_log import EdgeSnapshot
from headrace_runtime.warehouse import PostgresConnection
from headrace_runtime.warehouse_customers import Written, write_customers

__all__ = ["Published", "publish_customers"]

_LOCK = 0x6864_6375
"""Advisory lock of the one process that publishes: what it read is what it writes, and nobody writes older edges over it."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: edges below ``offset``, what they say, and what changed in the warehouse."""

    offset: int
    customers: int
    aliases: int
    ambiguous: dict[str, int]
    written: Written


async def publish_customers(
    connection: PostgresConnection, read: Callable[[], Awaitable[EdgeSnapshot]], *, now_us: int
) -> Published:
    """Read, resolve, write, on a connection that nothing else is done on, and that is closed then, which frees the lock.
    RetryLater where another process does it."""
    [[alone]] = await connection.execute(f"SELECT pg_try_advisory_lock({_LOCK})")
    if not alone:
        raise RetryLater(
            "Another process publishes customers.", fix="Nothing: it does the same.", code="customers_busy"
        )
    snapshot = await read()
    resolution = await asyncio.to_thread(resolve, snapshot.records)
    return Published(
        offset=snapshot.offset,
        customers=len(resolution.customers),
        aliases=len(resolution.aliases),
        ambiguous=dict(Counter(each.reason for each in resolution.ambiguous)),
        written=await write_customers(connection, resolution.aliases, now_us=now_us),
    )
