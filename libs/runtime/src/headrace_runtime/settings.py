"""Settings from the environment: one prefix, typed, and a start that stops with name, reason and fix where one is wrong.

A service composes its settings class from the groups here. Where a program starts, it hands its environment to `load_settings`;
the classes themselves read none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from headrace_core.errors import ConfigurationError

__all__ = [
    "ENV_PREFIX",
    "HttpSettings",
    "KafkaSettings",
    "MappingSettings",
    "ProcessSettings",
    "StoreSettings",
    "WarehouseSettings",
    "load_settings",
]

ENV_PREFIX = "HEADRACE_"


def _default_instance() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class ProcessSettings(BaseSettings):
    """What every process has."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="ignore", frozen=True)

    instance: str = Field(
        default_factory=_default_instance, description="Name of this process in blocks and manifests."
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )
    shutdown_grace_s: float = Field(25.0, gt=0, description="Seconds from SIGTERM to a forced end.")
    otlp_endpoint: str | None = Field(
        None, description="Base URL of an OTLP collector for traces; none without it."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: an instance is the same whatever the process's environment holds."""
        return (init_settings,)


class HttpSettings(ProcessSettings):
    """Where the process listens: the service's own interface, or health and metrics of a worker."""

    http_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a pod.")
    http_port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")


class KafkaSettings(ProcessSettings):
    """The log, and the partition count that the installation was made with."""

    kafka_bootstrap: str = Field(description="host:port,host:port of the brokers.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_ca_file: Path | None = Field(
        None,
        description="PEM file of the authority that signed the brokers' certificates; the system's without it.",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_username: str | None = Field(None, description="User of SASL.")
    kafka_password: SecretStr | None = Field(None, description="Password of SASL.")
    partitions: int = Field(
        12, ge=1, le=1000, description="Partition count of the installation; it never changes."
    )


class StoreSettings(ProcessSettings):
    """The object store. Without keys the ambient credentials of the platform are used."""

    s3_bucket: str = Field(description="Bucket of all objects.")
    s3_endpoint: str | None = Field(None, description="URL of an S3 server that is not AWS.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_access_key_id: SecretStr | None = Field(
        None, description="Access key; the platform's identity without it."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret of the access key.")


class WarehouseSettings(ProcessSettings):
    """The warehouse."""

    warehouse_dsn: SecretStr = Field(description="postgresql://user:password@host:port/database")


class MappingSettings(ProcessSettings):
    """Where mapping files for legacy shapes lie."""

    mappings_dir: Path | None = Field(None, description="Folder of mapping files (*.yaml); none without it.")


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(settings: type[SettingsT], environ: Mapping[str, str]) -> SettingsT:
    """Read ``settings`` from the variables in ``environ``; ConfigurationError names each that is missing or wrong."""
    source = EnvSettingsSource(settings)
    source.env_vars = {name.lower(): value for name, value in environ.items()}
    try:
        return settings(**source())
    except ValidationError as error:
        lines = [_explain(problem["loc"], problem["msg"], problem["type"]) for problem in error.errors()]
        raise ConfigurationError(
            "The configuration is not usable.",
            why="; ".join(lines),
            fix="Set the variables named above and start again; docs/configuration.md lists them all.",
            code="configuration",
        ) from None


def _explain(location: tuple[int | str, ...], message: str, kind: str) -> str:
    name = ENV_PREFIX + "_".join(str(part) for part in location).upper()
    return f"{name} is not set" if kind == "missing" else f"{name}: {message}"
