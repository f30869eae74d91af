"""The jar lock: what a line means, and that the checked-in one is whole."""

import hashlib
from importlib import resources
from pathlib import Path

import pytest

from headrace_local.errors import LocalStackError
from headrace_local.lockfile import LockedJar, lock_of_repository, parse_lock

_DIGEST = "ab" * 32


def test_a_line_is_a_coordinate_a_digest_and_a_size() -> None:
    (jar,) = parse_lock(f"org.example.deep:thing_2.13:1.0.2-rc1 {_DIGEST} 123\n")
    assert jar == LockedJar("org.example.deep", "thing_2.13", "1.0.2-rc1", None, _DIGEST, 123)
    assert jar.path == "org/example/deep/thing_2.13/1.0.2-rc1/thing_2.13-1.0.2-rc1.jar"


def test_a_classifier_is_part_of_the_file_name() -> None:
    (jar,) = parse_lock(f"org.example:native:2:linux-x86_64 {_DIGEST} 5")
    assert jar.path == "org/example/native/2/native-2-linux-x86_64.jar"


def test_blank_lines_and_comments_say_nothing() -> None:
    assert parse_lock("\n# made by hand\n   \n") == ()


@pytest.mark.parametrize(
    "line",
    [
        "org.example:thing:1",
        f"org.example:thing {_DIGEST} 1",
        f"org.example:thing:1 {_DIGEST[:-1]} 1",
        f"org.example:thing:1 {_DIGEST.upper()} 1",
        f"org.example:thing:1 {_DIGEST} many",
        f"org.example:thing:../../1 {_DIGEST} 1",
    ],
)
def test_an_odd_line_is_named(line: str) -> None:
    with pytest.raises(LocalStackError, match="Line 2"):
        parse_lock(f"# lock\n{line}\n")


def test_the_lock_of_kafka_is_one_release_with_logging() -> None:
    jars = parse_lock(resources.files("headrace_local").joinpath("kafka.lock").read_text())
    broker = {jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert broker == {"4.4.0"}
    names = [jar.artifact for jar in jars]
    assert len(set(names)) == len(names)
    # Without this binding the broker logs nothing, not even why it fails to start.
    assert "log4j-slf4j-impl" in names


def test_a_repository_gives_the_lock_that_describes_it(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"jar").hexdigest()
    jars = [
        LockedJar("a.b", "one", "1.0-x", None, digest, 3),
        LockedJar("a.b", "two_2.13", "2", "linux-x86_64", digest, 3),
    ]
    for jar in jars:
        (tmp_path / jar.path).parent.mkdir(parents=True)
        (tmp_path / jar.path).write_bytes(b"jar")
    assert list(parse_lock(lock_of_repository(tmp_path))) == jars
