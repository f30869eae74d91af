"""Settings of the functions, from their environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from headrace_core.errors import ConfigurationError
from headrace_core.mapping import MappingSpec, mapping_from

__all__ = ["LambdaSettings", "read_settings"]


@dataclass(frozen=True, slots=True)
class LambdaSettings:
    """Where rows go and how they are read. The mapping must be deployed to ingest and dedup too, under the same version."""

    ingest_url: str
    write_key: str
    mapping: MappingSpec
    s3_endpoint: str | None = None


def read_settings(environ: Mapping[str, str]) -> LambdaSettings:
    """The settings; ConfigurationError names every variable that is missing."""
    needed = ("HEADRACE_INGEST_URL", "HEADRACE_WRITE_KEY", "HEADRACE_MAPPING_FILE")
    if missing := [name for name in needed if not environ.get(name)]:
        raise ConfigurationError(
            "The function is not configured.",
            why=f"{', '.join(missing)} not set.",
            fix="Set them in the function's environment; the key belongs in a secret.",
            code="configuration",
        )
    path = Path(environ["HEADRACE_MAPPING_FILE"])
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(
            "The mapping of the function cannot be read.",
            why=str(error),
            fix="Package the mapping file with the function and name it in HEADRACE_MAPPING_FILE.",
            code="mapping_missing",
        ) from error
    return LambdaSettings(
        environ["HEADRACE_INGEST_URL"].rstrip("/"),
        environ["HEADRACE_WRITE_KEY"],
        mapping_from(document),
        environ.get("HEADRACE_S3_ENDPOINT"),
    )
