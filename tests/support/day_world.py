"""A bucket, a warehouse and a chain of staged files of their own, over which a test runs the day's job with real parts."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pyarrow.parquet as pq
from pydantic import SecretStr
from pyspark.sql import SparkSession
from tests.support.shared_spark import SharedSpark
from tests.support.staged_files import encode_rows

from headrace_core.clock import Clock, SystemClock
from headrace_core.keys import file_id
from headrace_core.lake import LakeFile, LakeTable
from headrace_core.manifest import File, Manifest, encode_manifest
from headrace_core.paths import ChainPosition, manifest_key, object_key
from headrace_runtime.ports_store import ObjectStore
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.day_job import day_job
from headrace_spark.edges import EdgeSnapshot
from headrace_spark.lake_store import LakeStore
from headrace_spark.planning import days_behind
from headrace_spark.progress import Progress
from headrace_spark.settings import SparkSettings
from headrace_spark.settling import DayJob, RunIdentity, settle_day

__all__ = ["DayWorld", "new_bucket"]

DEADLINE_S = 30.0
Row = dict[str, Any]


def new_bucket(settings: SparkSettings) -> str:
    """A bucket that no other test uses, on the stack's S3 server."""
    assert settings.s3_access_key_id is not None
    assert settings.s3_secret_access_key is not None
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
    name = f"days-{secrets.token_hex(5)}"
    client.create_bucket(Bucket=name)
    return name


@dataclass
class Edges:
    """Identity edges as a test sets them."""

    snapshot: EdgeSnapshot = field(default_factory=EdgeSnapshot)

    async def read(self) -> EdgeSnapshot:
        return self.snapshot


class DayWorld:
    """``settings`` name the bucket and the warehouse that this world owns."""

    def __init__(self, settings: SparkSettings, spark: SparkSession, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.store: ObjectStore = S3ObjectStore(settings)
        self.lake = LakeStore(self.store, deadline_s=DEADLINE_S)
        self.spark = SharedSpark(settings, spark)
        self.edges = Edges()
        self._ends: dict[int, int] = {}
        self._runs = 0

    @classmethod
    def new(cls, settings: SparkSettings, spark: SparkSession, dsn: str) -> DayWorld:
        """A world in a bucket of its own."""
        own = {"s3_bucket": new_bucket(settings), "warehouse_dsn": SecretStr(dsn)}
        return cls(settings.model_copy(update=own), spark)

    def job(self) -> DayJob:
        """The ports of a run."""
        progress = Progress(self.clock, io.StringIO(), lambda: None)
        return day_job(self.settings, self.store, self.clock, self.spark, progress, edges=self.edges)

    def identity(self, job: str = "daily") -> RunIdentity:
        """A new run."""
        self._runs += 1
        return RunIdentity(job, f"{job}-{self._runs}", 1, self.clock.now_ms() + 600_000)

    async def settle(self, *days: str) -> list[str]:
        """A run over these days; the outcome of each."""
        job, run = self.job(), self.identity()
        return [(await settle_day(job, run, day)).outcome for day in days]

    async def settle_all(self) -> None:
        """Runs until nothing is behind."""
        inputs = await self.job().lake.inputs()
        await self.settle(*days_behind(inputs, ended_before=date(9999, 1, 1), besides=()))

    async def stage(self, rows: Sequence[Row], *, partition: int = 0) -> Manifest:
        """A staged file of rows, and its manifest at the chain's end. Rows get file_id and, by default, positions."""
        start = self._ends.get(partition, 0)
        end = self._ends[partition] = start + len(rows)
        appended_ms = self.clock.now_ms()
        key = object_key("events", partition, start, end, appended_ms=appended_ms, nonce="t")
        content = encode_rows(rows, file_id(key))
        await self.store.put(key, content, deadline_s=DEADLINE_S)
        at = ChainPosition("events", partition, start)
        manifest = _manifest(rows, key, content, at, appended_ms)
        written = await self.store.put_if_absent(
            manifest_key("events", partition, start), encode_manifest(manifest), deadline_s=DEADLINE_S
        )
        assert written
        return manifest

    async def table(self, day: str, table: LakeTable = "events") -> list[Row]:
        """The rows of a table of a day's current generation."""
        current = await self.lake.read_day(day)
        if current.generation is None:
            return []
        found = [row for file in current.generation.files(table) for row in await self._rows(file)]
        return sorted(found, key=lambda row: [str(value) for value in row.values()])

    async def _rows(self, file: LakeFile) -> list[Row]:
        content = await self.store.get(file.key, deadline_s=DEADLINE_S)
        assert hashlib.sha256(content).hexdigest() == file.sha256
        rows: list[Row] = pq.read_table(io.BytesIO(content)).to_pylist()
        return rows


def _manifest(rows: Sequence[Row], key: str, content: bytes, at: ChainPosition, appended_ms: int) -> Manifest:
    times = [_us(row["event_ts"]) for row in rows]
    days = [row["event_ts"].date().isoformat() for row in rows]
    file = File(
        key=key,
        rows=len(rows),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        min_event_ts=min(times),
        max_event_ts=max(times),
    )
    return Manifest(
        kind="events",
        cluster_id="c",
        topic_id="t",
        topic="events.clean",
        partition=at.partition,
        start=at.start,
        end=at.start + len(rows),
        max_source_offset=max(row["src_offset"] for row in rows),
        rows=len(rows),
        files=(file,),
        rows_by_event_date={day: days.count(day) for day in set(days)},
        min_received_ts=min(_us(row["received_ts"]) for row in rows),
        max_received_ts=max(_us(row["received_ts"]) for row in rows),
        first_append_ms=appended_ms,
        last_append_ms=appended_ms,
        schema_version=1,
        writer="test",
        created_ms=appended_ms,
    )


def _us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
