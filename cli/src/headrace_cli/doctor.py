"""``headrace doctor``: ask every dependency for what Headrace needs of it, and say how to mend what is missing."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable

import httpx
import msgspec
import psycopg

from headrace_core.errors import BadData, HeadraceError
from headrace_core.tables import SCHEMA_VERSION_TABLE
from headrace_core.topics import TOPICS
from headrace_local.java import find_java
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin
from headrace_runtime.s3 import S3ObjectStore
from headrace_runtime.settings import KafkaSettings, StoreSettings, WarehouseSettings, load_settings

__all__ = ["Finding", "examine"]

_DEADLINE_S = 10.0
_PROBE_KEY = "doctor/probe"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one dependency. ``fix`` is empty where all is well."""

    name: str
    ok: bool
    what: str
    why: str = ""
    fix: str = ""


async def examine(service_urls: dict[str, str]) -> list[Finding]:
    """All findings; the environment names the dependencies as it does for the services."""
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("python", _python),
        ("java", _java),
        ("kafka", _kafka),
        ("object store", _store),
        ("warehouse", _warehouse),
        *((name, _service(url)) for name, url in service_urls.items()),
    ]
    return [await _find(name, check) for name, check in checks]


async def _find(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(_DEADLINE_S * 2):
            return Finding(name=name, ok=True, what=await check())
    except HeadraceError as error:
        return Finding(name=name, ok=False, what=error.what, why=error.why, fix=error.fix)
    except TimeoutError:
        fix = "Check the address, the network and whether the server runs."
        return Finding(
            name=name, ok=False, what="No answer in time.", why=f"{_DEADLINE_S * 2:.0f} s passed.", fix=fix
        )


async def _python() -> str:
    return f"Python {platform.python_version()} at {sys.executable}"


async def _java() -> str:
    found = await asyncio.to_thread(find_java, os.environ)
    return f"Java {found.feature} at {found.executable}"


async def _kafka() -> str:
    settings = load_settings(KafkaSettings, os.environ)
    admin = KafkaLogAdmin(
        KafkaConnection.from_settings(settings, client_id="headrace-doctor", request_timeout_s=_DEADLINE_S)
    )
    await admin.start(deadline_s=_DEADLINE_S)
    try:
        topics = await admin.describe([topic.name for topic in TOPICS], deadline_s=_DEADLINE_S)
    finally:
        await admin.stop()
    missing = [topic.name for topic in TOPICS if topic.name not in topics]
    if missing:
        raise BadData("Topics are missing.", why=", ".join(missing), fix="Run `headrace topics create`.")
    wrong = [
        f"{topic.name} has {topics[topic.name].partitions} partitions"
        for topic in TOPICS
        if topic.partitions == "P" and topics[topic.name].partitions != settings.partitions
    ]
    if wrong:
        raise BadData(
            "Partition counts differ from HEADRACE_PARTITIONS.",
            why=f"{', '.join(wrong)}; the setting says {settings.partitions}.",
            fix="Set HEADRACE_PARTITIONS to what the installation was made with; it never changes.",
        )
    return f"{len(topics)} topics, {settings.partitions} partitions"


async def _store() -> str:
    settings = load_settings(StoreSettings, os.environ)
    store = S3ObjectStore.from_settings(settings)
    await store.put(_PROBE_KEY, b"1", deadline_s=_DEADLINE_S)
    if await store.put_if_absent(_PROBE_KEY, b"2", deadline_s=_DEADLINE_S):
        raise BadData(
            "The object store ignores If-None-Match.",
            why="A conditional PUT replaced an object that exists; two stage workers could overwrite each other.",
            fix="Use S3 or a server that honours conditional writes.",
        )
    await store.delete([_PROBE_KEY], deadline_s=_DEADLINE_S)
    return f"bucket {settings.s3_bucket} takes conditional writes"


async def _warehouse() -> str:
    dsn = load_settings(WarehouseSettings, os.environ).warehouse_dsn.get_secret_value()
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=int(_DEADLINE_S)) as connection:
            statement = f"SELECT version_num FROM ops.{SCHEMA_VERSION_TABLE}"  # noqa: S608 # a constant
            cursor = await connection.execute(statement.encode())
            row = await cursor.fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise BadData(
            "The warehouse has no tables.", why=str(error), fix="Run `python -m headrace_loader migrate`."
        ) from error
    except psycopg.Error as error:
        fix = "Check HEADRACE_WAREHOUSE_DSN and whether the server runs."
        raise BadData("The warehouse cannot be used.", why=str(error).strip(), fix=fix) from error
    return f"migrated to {row[0] if row else 'nothing'}"


def _service(url: str) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        try:
            async with httpx.AsyncClient(timeout=_DEADLINE_S) as client:
                answer = await client.get(f"{url}/readyz")
        except httpx.TransportError as error:
            raise BadData("It does not answer.", why=repr(error), fix="Start it, and see its log.") from error
        if answer.status_code != 200:
            down = [part for part in answer.json()["components"] if not part["ok"]]
            why = "; ".join(f"{part['name']} since {part['since']}: {part['reason']}" for part in down)
            raise BadData("It is not ready.", why=why, fix="Mend what it waits for; it goes on by itself.")
        return f"ready at {url}"

    return check
