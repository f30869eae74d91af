"""The list of jars a program consists of: one `group:artifact:version[:classifier] sha256 bytes` a line.

    python -m headrace_local.lockfile FOLDER

prints the lock of the jars in a folder that Maven filled in its repository layout (libs/local/README.md).
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from headrace_local.errors import LocalStackError

__all__ = ["LockedJar", "lock_of_repository", "parse_lock"]

_LINE = re.compile(
    r"(?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)(?::(?P<classifier>[\w.-]+))?"
    r" (?P<sha256>[0-9a-f]{64}) (?P<size>[0-9]+)"
)


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One jar: where a Maven repository keeps it, and the digest and size it must have."""

    group: str
    artifact: str
    version: str
    classifier: str | None
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The name of the file in every Maven repository."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.jar"

    @property
    def path(self) -> str:
        """The path below the address of a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


def parse_lock(text: str) -> tuple[LockedJar, ...]:
    """The jars in the order of the lines; blank lines and `#` comments are skipped; an odd line is an error."""
    lines = enumerate(text.splitlines(), start=1)
    return tuple(
        _parse_line(number, line) for number, line in lines if line.strip() and not line.startswith("#")
    )


def _parse_line(number: int, line: str) -> LockedJar:
    found = _LINE.fullmatch(line.strip())
    if found is None:
        raise LocalStackError(
            f"Line {number} of the jar lock cannot be read: {line!r}.",
            why="a line is 'group:artifact:version[:classifier] sha256 bytes'.",
            fix="restore the file from the repository.",
            code="local.lock_unreadable",
        )
    return LockedJar(
        group=found["group"],
        artifact=found["artifact"],
        version=found["version"],
        classifier=found["classifier"],
        sha256=found["sha256"],
        size_bytes=int(found["size"]),
    )


def lock_of_repository(folder: Path) -> str:
    """The lock of all jars in `folder`, which is laid out as a Maven repository is; lines in alphabetical order."""
    return "".join(
        sorted(_line_of(path.relative_to(folder), path.read_bytes()) for path in folder.rglob("*.jar"))
    )


def _line_of(path: Path, content: bytes) -> str:
    *group, artifact, version, file_name = path.parts
    classifier = file_name.removeprefix(f"{artifact}-{version}").removesuffix(".jar").replace("-", ":", 1)
    digest = hashlib.sha256(content).hexdigest()
    return f"{'.'.join(group)}:{artifact}:{version}{classifier} {digest} {len(content)}\n"


if __name__ == "__main__":
    sys.stdout.write(lock_of_repository(Path(sys.argv[1])))
