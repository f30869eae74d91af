"""Where a command sends to: an address and a key given by hand, or the installation in a folder of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace_core.errors import UsageError
from headrace_local.installation import recall
from headrace_local.keys import LocalKeys

__all__ = ["DEFAULT_ROOT", "DEFAULT_STACK", "Target", "find_target"]

DEFAULT_ROOT = Path(".headrace/demo")
"""The folder of the demo's installation, below the current one."""

DEFAULT_STACK = Path(".headrace/stack")
"""The folder of a stack without services."""


@dataclass(frozen=True, slots=True)
class Target:
    """An ingest service and a key for it. ``mappings_dir`` is set where mapping files can be put in its place."""

    ingest_url: str
    write_key: str
    key_is_new: bool = False
    mappings_dir: Path | None = None


def find_target(
    root: Path, source: str, *, url: str | None, key: str | None, zone: str | None = None
) -> Target:
    """The target of a source's events; UsageError says what to give where there is none."""
    if url is not None:
        if key is None:
            raise UsageError("A write key is missing.", fix="Give --key with --url.", code="usage")
        return Target(url, key)
    known = recall(root)
    if not known.service_urls:
        raise UsageError(
            "There is no installation to send to.",
            why=f"{root} holds none.",
            fix="Start one with `headrace demo`, or give --url and --key of another.",
            code="no_installation",
        )
    settings = {"naive_zone": zone} if zone else None
    write_key, made = LocalKeys(root).ensure(source, settings)
    return Target(
        known.service_urls["ingest"], write_key, made, Path(known.environment["HEADRACE_MAPPINGS_DIR"])
    )
