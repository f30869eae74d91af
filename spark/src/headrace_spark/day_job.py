"""Puts the ports of a day's job together: object store, brokers, Spark and warehouse."""

from __future__ import annotations

from pathlib import Path

from headrace_core.clock import Clock
from headrace_runtime.kafka import KafkaConnection, KafkaLogReader
from headrace_runtime.ports_store import ObjectStore
from headrace_spark.driver import SparkDriver
from headrace_spark.edges import EdgeSnapshot, read_edges
from headrace_spark.funnels import DEFAULT_FUNNELS, Funnel, funnels_from, unreadable
from headrace_spark.lake_files import LakeFiles
from headrace_spark.lake_store import LakeStore
from headrace_spark.ports import EdgeSource
from headrace_spark.progress import Progress
from headrace_spark.quality.gate import Policy
from headrace_spark.quality_gate import QualityGate
from headrace_spark.revised_rows import RowRevision
from headrace_spark.settings import SparkSettings
from headrace_spark.settling import DayJob
from headrace_spark.spark_engine import SparkEngine
from headrace_spark.store_lake import StoreLake
from headrace_spark.warehouse_day import WarehouseDays

__all__ = ["LogEdges", "day_job", "read_funnels"]

_EDGES_WITHIN_S = 60.0


def day_job(
    settings: SparkSettings,
    store: ObjectStore,
    clock: Clock,
    spark: SparkDriver,
    progress: Progress,
    *,
    quality: Policy = "gate",
    edges: EdgeSource | None = None,
    revision: RowRevision | None = None,
) -> DayJob:
    """The ports of one attempt. ``edges`` stand in for those of the brokers; ``revision`` is a reprocess's."""
    deadline_s = settings.store_deadline_s
    files = LakeFiles(spark, store, bucket=settings.s3_bucket, deadline_s=deadline_s)
    return DayJob(
        lake=StoreLake(store, clock, partitions=settings.partitions, deadline_s=deadline_s),
        edges=edges or LogEdges(settings),
        engine=SparkEngine(spark, files, progress, read_funnels(settings.funnels_file), revision),
        gate=QualityGate(
            spark,
            files,
            store,
            LakeStore(store, deadline_s=deadline_s),
            policy=quality,
            partitions=settings.partitions,
            deadline_s=deadline_s,
        ),
        warehouse=WarehouseDays(
            settings.warehouse_dsn.get_secret_value(), store, store_deadline_s=deadline_s
        ),
        clock=clock,
        stage=progress.stage,
    )


def read_funnels(path: Path | None) -> tuple[Funnel, ...]:
    """The funnels of a file, the default ones without it. ConfigurationError where it holds none."""
    if path is None:
        return DEFAULT_FUNNELS
    try:
        document = path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), str(error)) from error
    return funnels_from(document, place=str(path))


class LogEdges:
    """`headrace_spark.ports.EdgeSource` over the brokers."""

    def __init__(self, settings: SparkSettings) -> None:
        self._settings = settings

    async def read(self) -> EdgeSnapshot:
        """All edges up to the end of the topic."""
        reader = KafkaLogReader(KafkaConnection.from_settings(self._settings, client_id="headrace-spark"))
        await reader.start(deadline_s=_EDGES_WITHIN_S)
        try:
            return await read_edges(reader, deadline_s=_EDGES_WITHIN_S)
        finally:
            await reader.stop(deadline_s=2.0)
