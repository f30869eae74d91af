"""Write keys: the file that says who may send, and the ring that finds the sender of a presented key.

The file holds hashes only. A source may have several keys, so that one can be replaced while both are in use. A key
says everything about its sender; a payload says nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated, Any, Literal

import msgspec

from headrace_core.errors import ConfigurationError

__all__ = [
    "IpPolicy",
    "KeyFile",
    "KeyRing",
    "SourceEntry",
    "WriteKey",
    "hash_key",
    "key_entry",
    "read_key_file",
]

IpPolicy = Literal["full", "truncated", "none"]

_Slug = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
_Hash = Annotated[str, msgspec.Meta(pattern="^(sha256|hmac-sha256):[0-9a-f]{64}$")]
_KEY_LIMIT_CHARS = 512
_ID_DIGITS = 8


class WriteKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of a source. ``id`` names it for people and logs; ``hash`` is what ``hash_key`` makes of it."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    hash: _Hash


class SourceEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source: its keys, and the settings that its events are read with."""

    source: _Slug
    keys: Annotated[list[WriteKey], msgspec.Meta(min_length=1)]
    naive_zone: str = "UTC"
    """IANA zone of times without one."""
    skew_correction: bool = True
    """Whether client clocks are corrected."""
    ip: IpPolicy = "full"
    """How much of the client address is kept: all, its /24 or /48 network, or nothing."""
    dialects: list[str] | None = None
    """The dialects that the source may send; None for all."""


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key file, version 1."""

    version: Literal[1]
    sources: list[SourceEntry]


def hash_key(key: str, pepper: bytes | None = None) -> str:
    """What the file holds of a key: ``sha256:…``, or with a pepper ``hmac-sha256:…``, for keys that can be guessed."""
    if pepper is None:
        return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    return f"hmac-sha256:{hmac.digest(pepper, key.encode(), 'sha256').hex()}"


def key_entry(key: str, pepper: bytes | None = None) -> WriteKey:
    """The entry of a key, named after the start of its hash."""
    hashed = hash_key(key, pepper)
    return WriteKey(id=hashed.partition(":")[2][:_ID_DIGITS], hash=hashed)


def read_key_file(content: Any) -> KeyFile:
    """The key file from its parsed YAML or JSON. Raises ConfigurationError, which names the place but no hash."""
    try:
        file = msgspec.convert(content, KeyFile)
    except msgspec.ValidationError as error:
        raise _unusable(re.sub(r"[0-9a-f]{64}", "…", str(error))) from None
    names = [entry.source for entry in file.sources]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise _unusable(f"the source {min(repeated)} stands there twice")
    hashes = [key.hash for entry in file.sources for key in entry.keys]
    if len(hashes) != len(set(hashes)):
        raise _unusable("one key belongs to two entries")
    return file


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(
        "The write-key file cannot be used.",
        why=why,
        fix="Compare it with docs/services/ingest.md; `python -m headrace_ingest hash-key` makes an entry.",
        code="write_keys_unusable",
    )


class KeyRing:
    """Finds the source of a presented key; holds hashes only. Raises ConfigurationError where a pepper is missing."""

    def __init__(self, file: KeyFile, pepper: bytes | None = None) -> None:
        self._pepper = pepper
        self._by_digest: dict[bytes, tuple[bytes, SourceEntry]] = {}
        self._plain = self._peppered = False
        for entry in file.sources:
            for key in entry.keys:
                kind, _, digits = key.hash.partition(":")
                if kind == "hmac-sha256":
                    self._peppered = True
                else:
                    self._plain = True
                digest = bytes.fromhex(digits)
                self._by_digest[digest[:_ID_DIGITS]] = (digest, entry)
        if self._peppered and pepper is None:
            raise ConfigurationError(
                "The write-key file holds keys with a pepper, but there is no pepper.",
                why="HEADRACE_WRITE_KEYS_PEPPER_FILE is not set.",
                fix="Set it to the file that the hashes were made with.",
                code="write_keys_pepper_missing",
            )

    def find(self, key: str) -> SourceEntry | None:
        """The entry of a key, None where it is none of ours.

        An attacker who measures time learns about digests at most, and cannot choose those; the rest of the digest is
        compared in constant time all the same.
        """
        if not key or len(key) > _KEY_LIMIT_CHARS:
            return None
        data = key.encode("utf-8", "surrogatepass")
        if self._plain and (found := self._match(hashlib.sha256(data).digest())):
            return found
        if self._peppered and self._pepper is not None:
            return self._match(hmac.digest(self._pepper, data, "sha256"))
        return None

    def _match(self, digest: bytes) -> SourceEntry | None:
        candidate = self._by_digest.get(digest[:_ID_DIGITS])
        if candidate is None or not hmac.compare_digest(candidate[0], digest):
            return None
        return candidate[1]

    def __len__(self) -> int:
        return len(self._by_digest)
