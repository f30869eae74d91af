"""Finds a Java that Spark can start, and wraps the one from a wheel, which lacks a module that Spark asks for by name.

Spark's launcher always adds the module of vector instructions. Without it Spark computes the same; but Java refuses to
start over a module that it does not have, so the wrapper leaves the option out.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from headrace_local.cache import cache_folder, exclusive
from headrace_local.java import find_java

__all__ = ["java_home_for_spark"]

_MODULE = "jdk.incubator.vector"
_TIMEOUT_S = 30.0
_WRAPPER = """#!/bin/sh
# Starts Java without an option for a module that it does not have.
for argument; do
    shift
    [ "$argument" = "--add-modules={module}" ] || set -- "$@" "$argument"
done
exec '{java}' "$@"
"""


def java_home_for_spark(environ: Mapping[str, str], home: Path) -> Path:
    """The folder that JAVA_HOME must name for Spark. Blocks. `JavaMissingError` if there is no Java."""
    java = find_java(environ).executable.resolve()
    if _has_module(java):
        return java.parents[1]
    folder = cache_folder(environ, home) / "java-for-spark"
    wrapper = folder / "bin" / "java"
    text = _WRAPPER.format(module=_MODULE, java=str(java).replace("'", "'\\''"))
    with exclusive(folder / ".lock"):
        if not wrapper.exists() or wrapper.read_text() != text:
            wrapper.parent.mkdir(parents=True, exist_ok=True)
            draft = wrapper.with_suffix(".new")
            draft.write_text(text)
            draft.chmod(0o755)
            draft.replace(wrapper)
    return folder


def _has_module(java: Path) -> bool:
    listed = subprocess.run(  # noqa: S603 - the user's own Java
        [java, "--list-modules"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    return f"{_MODULE}@" in listed.stdout
