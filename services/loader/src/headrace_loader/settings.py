"""Settings of the loader's roles."""

from __future__ import annotations

from pydantic import Field

from headrace_runtime.settings import HttpSettings, KafkaSettings, StoreSettings, WarehouseSettings

__all__ = ["ArchiveSettings", "LoadSettings", "StageSettings"]


class StageSettings(HttpSettings, KafkaSettings, StoreSettings):
    """The role `stage`. A cut is made at the first of its limits."""

    http_port: int = Field(8081, ge=0, le=65535, description="Port to listen on.")
    stage_group: str = Field("headrace-stage", description="Consumer group that shares the partitions.")
    stage_static_member: bool = Field(
        False,
        description="Keep the partitions over a restart within the group's session; HEADRACE_INSTANCE must then name "
        "one process and be the same after its restart.",
    )
    stage_cut_bytes: int = Field(64 << 20, ge=1 << 10, le=1 << 29, description="Bytes of records per file.")
    stage_cut_rows: int = Field(1_000_000, ge=1, description="Rows per file.")
    stage_cut_age_s: float = Field(60.0, gt=0, description="Longest wait of a record before its file is cut.")
    stage_budget_bytes: int = Field(
        512 << 20, ge=1 << 20, description="Records held in memory; past it partitions are paused."
    )
    stage_builds: int = Field(1, ge=1, le=64, description="Files built at the same time.")
    store_deadline_s: float = Field(
        60.0, gt=0, description="Longest wait for one answer of the object store."
    )


class ArchiveSettings(StageSettings):
    """The role `archive`, which stages raw records and verdicts with the same limits."""

    http_port: int = Field(8084, ge=0, le=65535, description="Port to listen on.")
    stage_group: str = Field("headrace-archive", description="Consumer group that shares the partitions.")


class LoadSettings(HttpSettings, KafkaSettings, StoreSettings, WarehouseSettings):
    """The role `load`."""

    http_port: int = Field(8082, ge=0, le=65535, description="Port to listen on.")
    load_interval_s: float = Field(60.0, gt=0, description="Pause between loads while nothing waits.")
    load_rows: int = Field(500_000, ge=1, description="Rows per transaction; a larger manifest goes alone.")
    load_bytes: int = Field(
        256 << 20, ge=1 << 10, description="Bytes of files per transaction, which are held in memory."
    )
    load_slot: int = Field(
        0, ge=0, le=999, description="Number of this worker's stage table; two workers need two numbers."
    )
    load_rollups: bool = Field(
        True, description="Whether rollups are kept; off only to measure the load alone."
    )
    load_statement_timeout_s: float = Field(300.0, gt=0, description="Longest run of one statement.")
    store_deadline_s: float = Field(
        60.0, gt=0, description="Longest wait for one answer of the object store."
    )
