"""Settings of the ingest service (docs/services/ingest.md)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from headrace_runtime.settings import HttpSettings, KafkaSettings, MappingSettings

__all__ = ["IngestSettings"]


class IngestSettings(HttpSettings, KafkaSettings, MappingSettings):
    """What the environment says."""

    write_keys_file: Path = Field(description="YAML or JSON file of write keys, hashed.")
    write_keys_pepper_file: Path | None = Field(None, description="File with the pepper of the key hashes.")
    ack_deadline_s: float = Field(5.0, gt=0, le=60, description="Longest wait for an acknowledgement.")
    body_deadline_s: float = Field(10.0, gt=0, le=60, description="Longest time to receive a body.")
    max_bytes_in_flight: int = Field(64 << 20, ge=16 << 20, description="Bytes of all requests under way.")
    max_connections: int = Field(10_000, ge=1, description="Open connections.")
    trusted_proxy_hops: int = Field(
        0, ge=0, le=16, description="Proxies in front that append to X-Forwarded-For."
    )
