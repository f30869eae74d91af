"""Settings of the dedup worker (docs/services/dedup.md)."""

from __future__ import annotations

from pydantic import Field

from headrace_dedup.ports import Limits
from headrace_runtime.settings import HttpSettings, KafkaSettings, MappingSettings, StoreSettings

__all__ = ["DedupSettings"]


class DedupSettings(HttpSettings, KafkaSettings, MappingSettings, StoreSettings):
    """What the environment says."""

    http_port: int = Field(8081, ge=0, le=65535, description="Port to listen on.")
    dedup_group: str = Field("headrace-dedup", min_length=1, description="Consumer group of the workers.")
    dedup_session_s: float = Field(
        10.0, ge=1, le=300, description="A worker that vanished loses its partitions after this time."
    )
    dedup_window_s: float = Field(86_400.0, gt=0, description="How long an accepted id is remembered.")
    dedup_range_records: int = Field(4_000, ge=1, le=100_000, description="Most records of a range.")
    dedup_range_bytes: int = Field(
        4 << 20, ge=1 << 10, le=64 << 20, description="Most value bytes of a range."
    )
    dedup_range_wait_s: float = Field(0.2, gt=0, le=10, description="Longest wait of a record for others.")
    dedup_idle_block_s: float = Field(
        3_600.0, gt=0, description="An idle owner certifies its position so often."
    )
    dedup_table_bytes: int = Field(
        512 << 20, ge=1 << 20, description="Most memory of the seen ids of one partition; 32 bytes an id."
    )
    dedup_identity_aliases: int = Field(
        500_000,
        ge=0,
        description="Most aliases whose customer a worker knows; of one with many customers each counts. 0.6 KB each.",
    )
    dedup_append_deadline_s: float = Field(
        15.0, gt=0, le=120, description="Longest wait for the acknowledgement of a block or of outputs."
    )

    @property
    def limits(self) -> Limits:
        """Ranges and window."""
        return Limits(round(self.dedup_window_s * 1000), self.dedup_range_records, self.dedup_range_bytes)
