"""The role `load` as a process, on the real S3 server and PostgreSQL, while both and itself are killed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests.support.staged_files import DAY, clean_row, manifest_of, staged_file
from tests.support.staging import DEADLINE_S, LoaderRole, loader_role, stack_store, until
from tests.support.warehouses import PostgresHarness, tables_of

from headrace_core.manifest import encode_manifest
from headrace_core.paths import manifest_key
from headrace_core.topics import BATCHES_STAGED
from headrace_loader.load_files import CheckedFile
from headrace_loader.migrate import migrate
from headrace_loader.rollups import Rollups
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_local.installation import create_topics
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogWriter
from headrace_runtime.ports_log import Batch, TopicPartition
from headrace_runtime.ports_store import ObjectStore

P = 2


@dataclass
class World:
    """A stack with a migrated warehouse; every staged event is remembered."""

    stack: LocalStack
    store: ObjectStore
    harness: PostgresHarness
    folder: Path
    events: set[str] = field(default_factory=set)
    roles: list[LoaderRole] = field(default_factory=list)

    def role(self, name: str = "load", **more: object) -> LoaderRole:
        """A load process, not started."""
        given = {
            "partitions": P,
            "instance": name,
            "load_interval_s": 0.2,
            "load_rows": 60,
            "store_deadline_s": 5,
            **more,
        }
        made = loader_role(self.stack, "load", self.folder, **given)
        self.roles.append(made)
        return made

    async def stage(self, partition: int, start: int, *, rows: int = 20, damage: str = "") -> CheckedFile:
        """Stage a file of new events, half of them with a copy of the file before, and damage it."""
        offsets = range(start, start + rows)
        made = [
            clean_row(
                f"{partition}-{at - at % 2 * 11}",
                at=DAY + timedelta(minutes=at * 7),
                offset=at,
                src_partition=partition,
                user_id=f"u{at % 5}",
            )
            for at in offsets
        ]
        file = staged_file(made, start=start, end=start + rows, partition=partition)
        content = {"": file.content, "torn": file.content[:-10], "missing": b""}[damage]
        if content:
            await self.store.put(file.entry.file.key, content, deadline_s=DEADLINE_S)
        key = manifest_key("events", partition, start)
        await self.store.put(key, encode_manifest(manifest_of([file])), deadline_s=DEADLINE_S)
        if not damage:
            self.events |= {row["event_id"] for row in made}
        return file

    async def loaded(self) -> bool:
        """Whether every staged event is a row."""
        try:
            [(rows,)] = await self.harness.query("SELECT count(DISTINCT event_id) FROM analytics.events")
        except OSError:
            return False
        return bool(rows == len(self.events))

    async def check(self) -> None:
        """Each event is one row with the lowest position of its copies, and counts and rollups follow."""
        rows = await self.harness.rows()
        assert sorted(row["event_id"] for row in rows) == sorted(self.events)
        assert await self.harness.tables() == tables_of(Rollups.of(rows))
        sums = await self.harness.ledger_sums()
        assert sums["inserted"] == len(rows)
        assert sums["rows"] == sums["inserted"] + sums["present"]


@pytest.fixture
async def world(fresh_stack: LocalStack, tmp_path: Path) -> AsyncIterator[World]:
    """A world of this test's own."""
    dsn = fresh_stack.endpoints.postgres_dsn
    await asyncio.to_thread(migrate, dsn)
    made = World(
        fresh_stack, stack_store(fresh_stack), PostgresHarness(dsn, PostgresWarehouse(dsn)), tmp_path
    )
    try:
        yield made
    finally:
        await asyncio.gather(*(role.process.stop() for role in made.roles))


async def test_kills_and_outages_cost_nothing(world: World) -> None:
    first, second = world.role("load-0"), world.role("load-1", load_slot=1)
    await asyncio.gather(first.process.start(), second.process.start())
    start = 0
    for fault in ("none", "first", "postgres", "second", "s3", "first"):
        for _ in range(3):
            await asyncio.gather(*(world.stage(partition, start) for partition in range(P)))
            start += 20
        if fault in {"first", "second"}:
            role = first if fault == "first" else second
            role.process.kill()
            await role.process.start()
        elif fault != "none":
            server = world.stack.servers[fault]
            server.kill()
            await until(partial(first.down, {"postgres": "warehouse", "s3": "store"}[fault]))
            await server.start()
            await until(first.ready)
    await until(world.loaded)
    await world.check()


async def test_damaged_files_wait_for_their_repair(world: World) -> None:
    torn = await world.stage(0, 0, damage="torn")
    missing = await world.stage(0, 20, damage="missing")
    await world.stage(0, 40)
    await world.stage(1, 0)
    role = world.role()
    await role.process.start()
    await until(world.loaded)
    found = await world.harness.query("SELECT file_key, code FROM ops.load_error ORDER BY chain_start")
    assert found == [(torn.entry.file.key, "file_torn"), (missing.entry.file.key, "file_missing")]
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(f"{role.url}/metrics")).text
    assert 'headrace_load_rows_total{outcome="set_aside"} 40.0' in metrics
    for start, file in ((0, torn), (20, missing)):
        repaired = await world.stage(0, start)
        assert repaired.entry.file == file.entry.file
    released = await asyncio.to_thread(_release, world.stack)
    assert released.startswith("2 files are released")
    await until(world.loaded)
    assert await world.harness.query("SELECT FROM ops.load_error") == []
    await world.check()


def _release(stack: LocalStack) -> str:
    command = [sys.executable, "-m", "headrace_loader", "release", "--all"]
    done = subprocess.run(
        command, env=stack.environment(), capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


async def test_a_loader_asked_to_stop_ends_at_once_and_well(world: World) -> None:
    await world.stage(0, 0)
    role = world.role(load_interval_s=600)
    await role.process.start()
    await until(world.loaded)
    await role.process.stop()
    assert role.process.returncode == 0
    log = [json.loads(line) for line in (world.folder / "load.log").read_text().splitlines()]
    assert "Staged files are loaded." in [entry["message"] for entry in log]


async def test_a_hint_ends_the_pause(world: World) -> None:
    await create_topics(world.stack.endpoints.kafka_bootstrap, P, 1)
    role = world.role(load_interval_s=DEADLINE_S)
    await role.process.start()
    await world.stage(0, 0)
    writer = KafkaLogWriter(KafkaConnection(world.stack.endpoints.kafka_bootstrap))
    await writer.start()

    async def loaded_after_a_hint() -> bool:
        place = TopicPartition(BATCHES_STAGED.name, 0)
        await writer.append(place, Batch([b"key"], [b"{}"]), deadline_s=DEADLINE_S)
        return await world.loaded()

    await until(loaded_after_a_hint, within_s=DEADLINE_S * 0.7)
    await writer.stop()
    await world.check()
