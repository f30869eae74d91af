"""Spark's Java: taken as it is where it has what Spark asks for, wrapped where it has not."""

import subprocess
from pathlib import Path

import pytest

from headrace_local.spark_java import java_home_for_spark

# Answers as a Java does, and says with which arguments it was started.
_JAVA = """#!/bin/sh
case "$1" in
-version) echo 'openjdk version "25.0.2" 2026-01-20' >&2 ;;
--list-modules) printf 'java.base@25\\n{modules}' ;;
*) printf '<%s>' "$@" ;;
esac
"""


def java_in(folder: Path, modules: str = "") -> Path:
    """A folder that JAVA_HOME may name."""
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text(_JAVA.format(modules=modules))
    java.chmod(0o755)
    return folder


def test_a_java_with_the_module_is_taken_as_it_is(tmp_path: Path) -> None:
    home = java_in(tmp_path / "jdk", "jdk.incubator.vector@25\\n")
    assert java_home_for_spark({"JAVA_HOME": str(home)}, tmp_path) == home


@pytest.mark.parametrize("name", ["jre", "it's a jre"])
def test_a_java_without_it_is_wrapped(tmp_path: Path, name: str) -> None:
    environ = {"JAVA_HOME": str(java_in(tmp_path / name)), "HEADRACE_CACHE_DIR": str(tmp_path / "cache")}
    home = java_home_for_spark(environ, tmp_path)
    assert home != tmp_path / name
    command = [
        str(home / "bin" / "java"),
        "-Xmx1g",
        "--add-modules=jdk.incubator.vector",
        "-cp",
        "a b",
        "Main",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "<-Xmx1g><-cp><a b><Main>"
    assert java_home_for_spark(environ, tmp_path) == home
