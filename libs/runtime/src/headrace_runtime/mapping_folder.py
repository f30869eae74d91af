"""The mappings of an installation: YAML files in one folder, read when one that is not known yet is asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from headrace_core.dialects import CompiledMapping, compile_mapping
from headrace_core.errors import BadData
from headrace_core.mapping import mapping_from

__all__ = ["MappingFolder", "read_mapping"]

_log = logging.getLogger(__name__)
_LOOK_AGAIN_AFTER_S = 1.0


def read_mapping(path: Path) -> CompiledMapping:
    """The mapping of one file. Raises BadData where it is none, OSError where it cannot be read."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadData(
            f"The mapping file {path.name} is not YAML.", why=str(error), code="mapping_unreadable"
        ) from error
    return compile_mapping(mapping_from(document))


class MappingFolder(Mapping[str, CompiledMapping]):
    """Compiled mappings by ``name@version``.

    A version never changes, so a known one is not read again. Asking for an unknown one reads the folder, at most once a
    second. A file that is no mapping is logged and passed over; it cannot hurt the others.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, CompiledMapping] = {}
        self._looked_at = float("-inf")

    def __getitem__(self, key: str) -> CompiledMapping:
        found = self._known.get(key)
        if found is None and self._may_look():
            self._read()
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _may_look(self) -> bool:
        now = time.monotonic()
        if self._folder is None or now - self._looked_at < _LOOK_AGAIN_AFTER_S:
            return False
        self._looked_at = now
        return True

    def _read(self) -> None:
        assert self._folder is not None
        for path in sorted((*self._folder.glob("*.yaml"), *self._folder.glob("*.yml"))):
            try:
                mapping = read_mapping(path)
            except (BadData, OSError) as error:
                _log.error("A mapping file cannot be used.", extra={"file": path.name, "error": str(error)})
                continue
            self._known.setdefault(mapping.key, mapping)
