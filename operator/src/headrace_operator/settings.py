"""Settings of the operator."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from headrace_runtime.kubernetes_connection import KubernetesSettings
from headrace_runtime.settings import HttpSettings

__all__ = ["OperatorSettings"]


class OperatorSettings(HttpSettings, KubernetesSettings):
    """The operator of one namespace."""

    runs_file: Path = Field(description="YAML file that describes runs: image, pods, sizes.")
    http_port: int = Field(8085, ge=0, le=65535, description="Port to listen on.")
    lease_name: str = Field(
        "headrace-operator", description="Name of the Lease that says which process works."
    )
    reconcile_workers: int = Field(50, ge=1, le=500, description="Runs that are worked on at once.")
    creations_per_s: float = Field(20.0, gt=0, description="Driver pods created per second, on average.")
    creations_burst: int = Field(20, ge=1, description="Driver pods created at once before that rate counts.")
