"""The write keys as the file says now: read at start, looked at again every few seconds."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import yaml

from headrace_core.errors import ConfigurationError
from headrace_core.write_keys import KeyRing, SourceEntry, read_key_file
from headrace_runtime.process import Lifecycle

__all__ = ["KeyStore"]

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 10.0

_Stamp = tuple[int, int, int]


def _unreadable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The file {path} cannot be read.",
        why=why,
        fix="Name a readable file in HEADRACE_WRITE_KEYS_FILE (and HEADRACE_WRITE_KEYS_PEPPER_FILE).",
        code="write_keys_unreadable",
    )


class KeyStore:
    """Reads the key file. The pepper is read once: another pepper would void every hash."""

    def __init__(self, path: Path, pepper_path: Path | None) -> None:
        self._path = path
        self._pepper = _read(pepper_path).strip() if pepper_path else None
        self._stamp = self._look()
        self._ring = self._load()

    def find(self, key: str) -> SourceEntry | None:
        """The entry of a presented key, None where it is none of ours."""
        return self._ring.find(key)

    def refresh(self) -> bool:
        """Read the file again if it changed; whether it did. Raises ConfigurationError and keeps the keys."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._ring = self._load()
        return True

    async def follow(self, life: Lifecycle) -> None:
        """Refresh until the process stops. A file that cannot be used is logged, and the keys before it go on."""
        while await life.sleep(_LOOK_EVERY_S):
            try:
                changed = await asyncio.to_thread(self.refresh)
            except ConfigurationError as error:
                _log.error("The write keys were not reloaded.", extra={"why": error.why, "fix": error.fix})
            else:
                if changed:
                    _log.info("The write keys were reloaded.", extra={"keys": len(self._ring)})

    def _look(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError as error:
            raise _unreadable(self._path, str(error)) from error
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> KeyRing:
        try:
            content = yaml.safe_load(_read(self._path))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            # The error quotes the file, which may hold a key by mistake.
            raise _unreadable(self._path, f"It is not YAML ({type(error).__name__}).") from None
        return KeyRing(read_key_file(content), self._pepper)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, str(error)) from error
