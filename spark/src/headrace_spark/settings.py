"""Settings of a batch job: the installation's, and what Spark needs on this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from headrace_runtime.settings import KafkaSettings, MappingSettings, StoreSettings, WarehouseSettings

__all__ = ["SparkSettings"]


class SparkSettings(KafkaSettings, StoreSettings, WarehouseSettings, MappingSettings):
    """One job. Where the master is not local, processes, memory and jars are what spark-defaults.conf says."""

    shutdown_grace_s: float = Field(18.0, gt=0, description="Seconds from SIGTERM to a forced end.")
    spark_master: str = Field("local[*]", min_length=1, description="Spark's master; a pod's is k8s://….")
    spark_driver_memory_mib: int = Field(2048, ge=512, le=65_536, description="Heap of a local driver.")
    spark_jars: Path | None = Field(
        None,
        description="Folder with the jars of S3A for a local master; `python -m headrace_local.spark_jars` fills it.",
    )
    spark_scratch_dir: Path | None = Field(
        None, description="Folder for Spark's temporary files; the system's without it."
    )
    funnels_file: Path | None = Field(
        None, description="YAML file of funnels: name, steps; three steps of a shop without it."
    )
    termination_log: Path = Field(
        Path("/dev/termination-log"),
        description="Where the result goes for Kubernetes; the default only where it exists.",
    )
    store_deadline_s: float = Field(
        60.0, gt=0, description="Longest wait for one answer of the object store."
    )
