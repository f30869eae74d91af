"""The write keys of a local installation: the services' file of hashes, and the keys themselves for local clients."""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from headrace_core.write_keys import SourceEntry, key_entry

__all__ = ["LocalKeys"]


class LocalKeys:
    """The two key files in the folder of an installation. A source keeps its key over restarts."""

    def __init__(self, root: Path) -> None:
        self.hashes = root / "write_keys.json"
        """What HEADRACE_WRITE_KEYS_FILE names."""
        self._plain = root / "write_keys.plain.json"

    def all(self) -> dict[str, str]:
        """Key by source; empty where nothing was installed in the folder."""
        if not self._plain.exists():
            return {}
        keys: dict[str, str] = json.loads(self._plain.read_text())
        return keys

    def ensure(self, source: str, settings: Mapping[str, object] | None = None) -> tuple[str, bool]:
        """The key of a source, made with more ``settings`` of its entry where it has none; whether it was made now."""
        keys = self.all()
        if source in keys:
            return keys[source], False
        keys[source] = f"local-{source}-{secrets.token_urlsafe(12)}"
        entry = {"source": source, "keys": [msgspec.to_builtins(key_entry(keys[source]))], **(settings or {})}
        document: dict[str, Any] = (
            json.loads(self.hashes.read_text()) if self.hashes.exists() else {"version": 1, "sources": []}
        )
        document["sources"].append(msgspec.to_builtins(msgspec.convert(entry, SourceEntry)))
        self._plain.touch(mode=0o600)
        _replace(self._plain, json.dumps(keys))
        _replace(self.hashes, json.dumps(document))
        return keys[source], True


def _replace(path: Path, text: str) -> None:
    """Readers see the old content or the new one, never a part."""
    scratch = path.with_suffix(".new")
    scratch.touch(mode=0o600)
    scratch.write_text(text)
    scratch.replace(path)
