"""A `DayWorld` whose rows come from archived raw records, so that jobs can make them anew."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import yaml
import zstandard
from pyspark.sql import SparkSession
from tests.support.day_world import DEADLINE_S, DayWorld, Row

from headrace_core.clock import Clock
from headrace_core.dialects import Mappings, parse
from headrace_core.events import CleanEvent
from headrace_core.identify import identify
from headrace_core.manifest import File, Manifest, encode_manifest
from headrace_core.mapping import mapping_from
from headrace_core.meta import RequestMeta, encode_meta
from headrace_core.normalise import normalise
from headrace_core.paths import manifest_key, object_key
from headrace_core.raw_lines import RawRecord, raw_line_encoder
from headrace_loader.load import load_files
from headrace_loader.load_files import check_file, files_of
from headrace_loader.parquet import Overflow, arrow_schema, columns_from
from headrace_loader.warehouse_postgres import PostgresWarehouse
from headrace_runtime.mapping_folder import MappingFolder
from headrace_spark.day_job import day_job
from headrace_spark.progress import Progress
from headrace_spark.revised_rows import RowRevision
from headrace_spark.settings import SparkSettings
from headrace_spark.settling import DayJob

__all__ = ["RawWorld"]


class RawWorld(DayWorld):
    """``settings`` name a folder of mappings."""

    def __init__(self, settings: SparkSettings, spark: SparkSession, *, clock: Clock | None = None) -> None:
        super().__init__(settings, spark, clock=clock)
        self._offset = 0

    def deploy(self, mapping: Mapping[str, Any]) -> None:
        """Put a mapping file where the jobs look."""
        mapping_from(mapping)
        assert self.settings.mappings_dir is not None
        path = self.settings.mappings_dir / f"{mapping['name']}-{mapping['version']}.yaml"
        path.write_text(yaml.safe_dump(dict(mapping)), encoding="utf-8")

    async def send(self, rows: Sequence[Mapping[str, Any]], mapping: str, *, received_ms: int) -> Manifest:
        """Rows of a legacy producer, archived as they are, and staged as ``mapping`` reads them, by the loader's code."""
        meta = RequestMeta(
            source="shop",
            dialect="mapped",
            path="/v1/rows",
            received_at=received_ms,
            request_id="r",
            mapping=mapping,
        )
        mappings = MappingFolder(self.settings.mappings_dir)
        made = [
            _made(msgspec.json.encode(row), meta, self._offset + at, mappings) for at, row in enumerate(rows)
        ]
        await self._archive([record for record, _ in made])
        self._offset += len(made)
        return await self.stage(await self._staged([event for _, event in made]))

    async def _archive(self, records: Sequence[RawRecord]) -> None:
        encode = raw_line_encoder()
        content = zstandard.ZstdCompressor().compress(b"".join(encode(each) + b"\n" for each in records))
        start, end = records[0].offset, records[-1].offset + 1
        key = object_key("raw", 0, start, end, appended_ms=self.clock.now_ms(), nonce="t")
        await self.store.put(key, content, deadline_s=DEADLINE_S)
        file = File(
            key=key, rows=len(records), bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
        manifest = Manifest(
            kind="raw",
            cluster_id="c",
            topic_id="t",
            topic="events.raw",
            partition=0,
            start=start,
            end=end,
            max_source_offset=end - 1,
            rows=len(records),
            files=(file,),
            schema_version=1,
            writer="test",
            created_ms=self.clock.now_ms(),
        )
        await self.store.put(manifest_key("raw", 0, start), encode_manifest(manifest), deadline_s=DEADLINE_S)

    async def _staged(self, events: Sequence[CleanEvent]) -> list[Row]:
        overflow = Overflow()
        arrays = columns_from(events, CleanEvent, overflow)
        for key, value in overflow.objects.items():
            await self.store.put(key, value, deadline_s=DEADLINE_S)
        rows: list[Row] = pa.Table.from_arrays(arrays, schema=arrow_schema(CleanEvent)).to_pylist()
        return rows

    async def load(self, manifest: Manifest) -> None:
        """Load the files of a manifest into the warehouse, as the loader does."""
        files = [
            check_file(entry, await self.store.get(entry.file.key, deadline_s=DEADLINE_S))
            for entry in files_of(manifest)
        ]
        warehouse = PostgresWarehouse(self.settings.warehouse_dsn.get_secret_value())
        await load_files(warehouse, files, now_us=self.clock.now_ms() * 1_000, writer="t")

    def job_of(self, revision: RowRevision | None = None) -> DayJob:
        """The ports of a run that revises rows, or of one that does not."""
        progress = Progress(self.clock, io.StringIO(), lambda: None)
        return day_job(
            self.settings, self.store, self.clock, self.spark, progress, edges=self.edges, revision=revision
        )

    async def keys(self, prefix: str = "") -> list[str]:
        """Keys of the objects under a prefix."""
        return [entry.key for entry in await self.store.list(prefix, deadline_s=DEADLINE_S)]


def _made(value: bytes, meta: RequestMeta, offset: int, mappings: Mappings) -> tuple[RawRecord, CleanEvent]:
    """A raw record, and the event that is made of it as it comes in."""
    parsed = parse(value, meta, mappings)
    identity = identify(parsed, meta, 0)
    record = RawRecord(offset, meta.received_at, identity.dedup_id, value, encode_meta(meta), 0)
    return record, normalise(parsed, identity, meta, src_partition=0, src_offset=offset)
