"""docs/configuration.md as the settings classes say it."""

from __future__ import annotations

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from headrace_api.settings import ApiSettings
from headrace_dedup.settings import DedupSettings
from headrace_ingest.settings import IngestSettings
from headrace_loader.customers_command import CustomersSettings
from headrace_loader.settings import ArchiveSettings, LoadSettings, StageSettings
from headrace_local.in_pod import PodSettings
from headrace_operator.settings import OperatorSettings
from headrace_runtime.settings import ENV_PREFIX
from headrace_spark.settings import SparkSettings

__all__ = ["configuration_page", "configured"]

_SERVICES: dict[str, type[BaseSettings]] = {
    "ingest": IngestSettings,
    "dedup": DedupSettings,
    "loader stage": StageSettings,
    "loader archive": ArchiveSettings,
    "loader load": LoadSettings,
    "loader customers": CustomersSettings,
    "api": ApiSettings,
    "operator": OperatorSettings,
    "batch jobs": SparkSettings,
    "servers of the chart's dev values": PodSettings,
}

_HEAD = """# Configuration

Every process is configured by its environment alone. A value that is missing or wrong stops it at its start with exit code
78, the variable's name, the reason and the fix. Secrets have no defaults. This page is generated from the settings classes
(`python -m tests.support.write_docs`).
"""


def _default(settings: type[BaseSettings], name: str) -> str:
    field = settings.model_fields[name]
    if field.default_factory is not None:
        return "host name and process id"
    if field.default is PydanticUndefined:
        return "**required**"
    return "" if field.default is None else f"`{field.default}`"


def configured() -> set[str]:
    """Every variable that a process reads."""
    return {
        f"{ENV_PREFIX}{name.upper()}" for settings in _SERVICES.values() for name in settings.model_fields
    }


def configuration_page() -> str:
    """The whole page: a table per service, in the order of the flow."""
    parts = [_HEAD]
    for service, settings in _SERVICES.items():
        parts.append(f"## {service}\n\n| variable | default | meaning |\n|---|---|---|")
        for name, field in settings.model_fields.items():
            meaning = (field.description or "").replace("|", "\\|")
            parts.append(f"| `{ENV_PREFIX}{name.upper()}` | {_default(settings, name)} | {meaning} |")
        parts.append("")
    return "\n".join(parts)
