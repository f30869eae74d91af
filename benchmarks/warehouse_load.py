"""Figures of the role `load`: staged files on S3 into PostgreSQL, rows per second of wall time, fsync on.

Measured is the load procedure of the service on its real adapters: fetch a file, check it against its manifest, and the
transaction of rule L1 up to the acknowledged COMMIT. Rows are new in every round, in the files of one transaction.
"""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

from benchmarks.measure import Figure, Sample, interleave
from benchmarks.ordinary.load import OrdinaryLoad
from benchmarks.records import CleanRecords
from benchmarks.staging import store_of
from benchmarks.stand import PARTITIONS, stand
from headrace_core.manifest import Manifest
from headrace_core.paths import object_key
from headrace_loader.event_files import build_events
from headrace_loader.load import load_files
from headrace_loader.load_files import CheckedFile, ManifestFile, check_file, files_of
from headrace_loader.migrate import migrate
from headrace_loader.stage_messages import ChainIdentity, Cut
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_runtime.s3 import S3ObjectStore

__all__ = ["FIGURES"]

_PER_FILE = 10_000
_ORDINARY_ROWS = 24_000
_STORE_S = 30.0


class _StagedFiles:
    """Files as the role `stage` leaves them in the store, without overflow."""

    def __init__(self, store: S3ObjectStore) -> None:
        self._store = store
        self._records = CleanRecords()
        self._start = 0

    async def next(self, rows_per_file: int) -> list[ManifestFile]:
        """New files, one per partition."""
        start, self._start = self._start, self._start + rows_per_file
        files: list[ManifestFile] = []
        for partition, events in self._records.take(rows_per_file).items():
            rows = CleanRecords.rows(events)
            cut = Cut(
                identity=ChainIdentity("events", partition, "events.clean", "bench", "bench"),
                start=start,
                end=self._start,
                max_source_offset=self._start - 1,
                rows=[
                    (value or b"", fingerprint.to_bytes(8, "big"))
                    for value, (_, fingerprint) in zip(rows.values, events, strict=True)
                ],
                repeats=0,
                first_append_ms=0,
                last_append_ms=0,
                key=object_key(
                    "events", partition, start, self._start, appended_ms=0, nonce=uuid4().hex[:12]
                ),
            )
            files += await self._put(cut)
        return files

    async def _put(self, cut: Cut[tuple[bytes, bytes]]) -> list[ManifestFile]:
        contents = await asyncio.to_thread(build_events, cut)
        for key, data in contents.objects:
            await self._store.put(key, data, deadline_s=_STORE_S)
        identity = cut.identity
        return files_of(
            Manifest(
                kind=identity.kind,
                cluster_id=identity.cluster_id,
                topic_id=identity.topic_id,
                topic=identity.topic,
                partition=identity.partition,
                start=cut.start,
                end=cut.end,
                rows=len(cut.rows),
                files=(contents.file,),
                schema_version=contents.schema_version,
                writer="bench",
                created_ms=0,
            )
        )


class _Ours:
    """The load procedure. Its table grows from round to round, as a day's does."""

    def __init__(self, dsn: str, store: S3ObjectStore, *, rollups: bool) -> None:
        self._warehouse = PostgresWarehouse(dsn, rollups=rollups)
        self._store = store
        self._files = _StagedFiles(store)

    async def run(self) -> Sample:
        files = await self._files.next(_PER_FILE)
        began = time.monotonic()
        checked = await asyncio.gather(*(self._fetch(file) for file in files))
        result = await load_files(self._warehouse, checked, now_us=time.time_ns() // 1000, writer="bench")
        seconds = time.monotonic() - began
        inserted = sum(entry.inserted for entry in result.loaded.values())
        if inserted != PARTITIONS * _PER_FILE or result.transactions != 1:
            raise RuntimeError(f"{inserted} rows in {result.transactions} transactions")
        return Sample(inserted, seconds)

    async def _fetch(self, file: ManifestFile) -> CheckedFile:
        content = await self._store.get(file.file.key, deadline_s=_STORE_S)
        return await asyncio.to_thread(check_file, file, content)


class _Ordinary:
    """Files of the same rows, each read and inserted with executemany."""

    def __init__(self, dsn: str, store: S3ObjectStore) -> None:
        self._load = OrdinaryLoad(dsn)
        self._store = store
        self._files = _StagedFiles(store)

    async def run(self) -> Sample:
        files = await self._files.next(_ORDINARY_ROWS // PARTITIONS)
        began = time.monotonic()
        rows = 0
        for file in files:
            content = await self._store.get(file.file.key, deadline_s=_STORE_S)
            rows += await asyncio.to_thread(self._load.load, content)
        seconds = time.monotonic() - began
        if rows != _ORDINARY_ROWS:
            raise RuntimeError(f"{rows} rows were inserted instead of {_ORDINARY_ROWS}")
        return Sample(rows, seconds)


async def _measure(rounds: int, *, rollups: bool) -> tuple[list[float], list[float]]:
    async with stand() as bench:
        dsn = bench.stack.endpoints.postgres_dsn
        await asyncio.to_thread(migrate, dsn)
        store = store_of(bench.stack.environment())
        ours, ordinary = _Ours(dsn, store, rollups=rollups), _Ordinary(dsn, store)
        return await interleave(ours.run, ordinary.run, rounds=rounds)


_ORDINARY = "read_table, to_pylist, psycopg executemany INSERT ... ON CONFLICT DO NOTHING of the same columns, no rollups"

FIGURES = (
    Figure(
        "load_postgres",
        "loader",
        "rows/s",
        ">= 60,000 (rollups off)",
        _ORDINARY,
        lambda rounds: _measure(rounds, rollups=False),
    ),
    Figure(
        "load_postgres_rollups",
        "loader",
        "rows/s",
        "goal 80,000",
        _ORDINARY,
        lambda rounds: _measure(rounds, rollups=True),
    ),
)
"""Figures of this module."""
