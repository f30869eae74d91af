"""Class archives of the JVM (CDS): a broker that maps its classes from one starts in half the time.

The archive of Kafka's classes is written by the first broker that ends in order, and shared by all later ones of the
same Java and jars. It lies on top of a base archive of the Java's own classes; a Java from a wheel comes without one,
so that is made here.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_local.cache import exclusive
from headrace_local.java import Java

__all__ = ["ClassArchive", "find_class_archive"]

_DUMP_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class ClassArchive:
    """Where the archive belongs (`top`; it may not exist yet), and the base below it (None: the Java's own)."""

    base: Path | None
    top: Path

    @property
    def exists(self) -> bool:
        """Whether a broker has written the archive."""
        return self.top.exists()

    def options(self, draft: Path | None) -> list[str]:
        """JVM options to start from the archive, or to write it to `draft` at the end of the process."""
        base = [] if self.base is None else [str(self.base)]
        layers = [*base, str(self.top)] if self.exists and draft is None else base
        shared = [f"-XX:SharedArchiveFile={os.pathsep.join(layers)}"] if layers else []
        return shared if draft is None else [*shared, f"-XX:ArchiveClassesAtExit={draft}"]

    def publish(self, draft: Path) -> None:
        """Copy a written archive to its place in one step: other brokers may be starting from it."""
        self.top.parent.mkdir(parents=True, exist_ok=True)
        beside = self.top.with_name(f"{self.top.name}.{os.getpid()}")
        shutil.copyfile(draft, beside)
        beside.replace(self.top)


def find_class_archive(java: Java, jars: Sequence[Path], folder: Path) -> ClassArchive | None:
    """The archive of these jars in `folder`; None if this Java can have none. May run Java for a few seconds."""
    home = java.executable.resolve().parents[1]
    modules = home / "lib" / "modules"
    own = [java.full, f"{home} {modules.stat().st_mtime_ns if modules.exists() else ''}"]
    base = None
    if not (home / "lib" / "server" / "classes.jsa").exists():
        base = folder / f"base-{_digest(own)}.jsa"
        if not _make_base(java, base):
            return None
    # A JVM ignores an archive, silently, if a jar has another path or time than when it was written.
    named = [f"{jar} {jar.stat().st_mtime_ns}" for jar in jars]
    return ClassArchive(base, folder / f"kafka-{_digest(own + named)}.jsa")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _make_base(java: Java, base: Path) -> bool:
    with exclusive(base.with_suffix(".lock")):
        if base.exists():
            return True
        draft = base.with_suffix(".new")
        command = [str(java.executable), "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={draft}"]
        try:
            subprocess.run(  # noqa: S603 - the Java that was found
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DUMP_WITHIN_S,
                check=True,
            )
            draft.replace(base)
        except (OSError, subprocess.SubprocessError):
            # Everything works without it, only slower.
            return False
    return True
