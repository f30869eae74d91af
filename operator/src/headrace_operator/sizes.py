"""What the installation decides about runs: the image, who its pods are, what they are told, and the sizes. Pure.

All of it comes from Helm values; nothing of it can be set by whoever creates a run, but for bounded overrides of a size.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from headrace_core.errors import BadData, ConfigurationError
from headrace_core.pipeline_run import Overrides, RunSpec

__all__ = [
    "Installation",
    "Mount",
    "PodPlace",
    "Resources",
    "Settings",
    "Size",
    "decode_installation",
    "resources_of",
]

Memory = Annotated[int, msgspec.Meta(ge=512, le=1 << 20)]
Millis = Annotated[int, msgspec.Meta(ge=10, le=256_000)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A part of the installation's file; unknown fields are refused."""


class Size(_Part, frozen=True, kw_only=True):
    """A size of runs. Memory is Spark's heap in MiB; ``memory_overhead_percent`` of it, 384 MiB at least, come on top for
    Python. CPU requests are in thousandths of a core. ``most`` bounds overrides; what it does not name cannot be raised."""

    driver_memory_mib: Memory
    driver_cpu_millis: Millis = 1_000
    executors: Annotated[int, msgspec.Meta(ge=1, le=500)]
    executor_memory_mib: Memory
    executor_cores: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    executor_cpu_millis: Millis = 1_000
    memory_overhead_percent: Annotated[int, msgspec.Meta(ge=10, le=200)] = 40
    most: Overrides = Overrides()


class PodPlace(_Part, frozen=True, kw_only=True):
    """Who a pod is and where it may run."""

    service_account: str
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    priority_class_name: str = ""


class Mount(_Part, frozen=True, kw_only=True):
    """A ConfigMap whose files drivers find in a folder, such as mappings and funnels."""

    config_map: str
    path: Annotated[str, msgspec.Meta(pattern=r"^/etc/headrace/[a-z-]+$")]


class Settings(_Part, frozen=True, kw_only=True):
    """Names of ConfigMaps and Secrets whose keys are the drivers' environment, and of those mounted as files."""

    config_maps: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()


class Installation(_Part, frozen=True, kw_only=True):
    """The file that the chart writes. One image for drivers and executors: they must be one build."""

    image: Annotated[str, msgspec.Meta(min_length=1)]
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    driver: PodPlace
    executor: PodPlace
    settings: Settings = Settings()
    sizes: dict[str, Size]


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What the pods of one run get."""

    driver_memory_mib: int
    driver_cpu_millis: int
    executors: int
    executor_memory_mib: int
    executor_cores: int
    executor_cpu_millis: int
    memory_overhead_percent: int

    def limit_mib(self, heap_mib: int) -> int:
        """The memory limit of a pod with that heap, as Spark computes it for Python."""
        return heap_mib + max(384, heap_mib * self.memory_overhead_percent // 100)


def decode_installation(document: object) -> Installation:
    """The installation from its decoded YAML. ConfigurationError says which value is wrong."""
    try:
        return msgspec.convert(document, Installation)
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            "The file that describes runs cannot be understood.",
            why=str(error),
            fix="Correct the chart's values under `runs`; operator/README.md lists the fields.",
            code="runs_file",
        ) from error


def resources_of(spec: RunSpec, installation: Installation) -> Resources:
    """What the run gets. BadData where its size does not exist, or an override is above what the size allows."""
    size = installation.sizes.get(spec.size)
    if size is None:
        raise BadData(
            f"There is no size {spec.size}.",
            why=f"This installation has {', '.join(sorted(installation.sizes)) or 'none'}.",
            fix="Name one of these.",
            code="size_unknown",
        )
    chosen = {name: getattr(size, name) for name in Resources.__struct_fields__}
    overrides = spec.overrides or Overrides()
    for name in Overrides.__struct_fields__:
        asked = getattr(overrides, name)
        if asked is not None:
            _check_bound(spec.size, name, asked, max(getattr(size, name), getattr(size.most, name) or 0))
            chosen[name] = asked
    return Resources(**chosen)


def _check_bound(size: str, name: str, asked: int, most: int) -> None:
    if asked > most:
        field = msgspec.structs.fields(Overrides)[Overrides.__struct_fields__.index(name)].encode_name
        raise BadData(
            f"overrides.{field} is {asked}.",
            why=f"The size {size} allows at most {most}.",
            fix="Ask for less, or name a larger size.",
            code="override_above",
        )
