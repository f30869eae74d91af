"""Settings of the inspection API."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from headrace_runtime.kubernetes_connection import KubernetesSettings
from headrace_runtime.settings import HttpSettings, KafkaSettings, StoreSettings, WarehouseSettings

__all__ = ["ApiSettings"]


class ApiSettings(HttpSettings, KafkaSettings, StoreSettings, WarehouseSettings, KubernetesSettings):
    """Where the API listens and what it reads."""

    http_port: int = Field(8083, ge=0, le=65535, description="Port to listen on.")
    poll_interval_s: float = Field(
        1.0, gt=0, description="How often manifests, ledger and log ends are read."
    )
    census_records: int = Field(
        300_000, ge=1000, description="Verdicts held for look-ups, newest first, over all partitions."
    )
    census_minutes: int = Field(1440, ge=10, description="Minutes of counts held.")
    lookup_deadline_s: float = Field(10.0, gt=0, description="Longest wait for a part of an X-ray.")
    run_tokens_file: Path | None = Field(
        None,
        description="YAML file of the tokens that may work with PipelineRuns at /v1/runs; without it there is no /v1/runs.",
    )
