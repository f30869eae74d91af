"""What it takes to run a class of Kafka: a Java, the jars of the lock, and the class archive that makes it start fast."""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_local.cache import cache_folder
from headrace_local.class_archive import ClassArchive, find_class_archive
from headrace_local.java import Java, find_java
from headrace_local.locked_jars import locked_jars

__all__ = ["KafkaDistribution", "KafkaJvm"]


@dataclass(frozen=True, slots=True)
class KafkaJvm:
    """A Java with Kafka on its class path; `archive` is None if this Java can have none."""

    java: Java
    jars: Sequence[Path]
    archive: ClassArchive | None

    def command(self, options: Sequence[str], log_configuration: Path) -> list[str]:
        """The beginning of a command; a main class and its arguments follow."""
        classpath = os.pathsep.join(map(str, self.jars))
        log4j = f"-Dlog4j2.configurationFile={log_configuration}"
        return [str(self.java.executable), *options, "-Djava.awt.headless=true", log4j, "-cp", classpath]


class KafkaDistribution:
    """Finds a Java and fetches the jars on first use; shared by the nodes of a stack."""

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home
        self._lock = threading.Lock()
        self._jvm: KafkaJvm | None = None

    def resolve(self) -> KafkaJvm:
        """Java and jars, fetched if the cache lacks them. Blocks; for a worker thread.

        `JavaMissingError` and `FetchError` say what to do.
        """
        with self._lock:
            if self._jvm is None:
                self._jvm = self._find()
            return self._jvm

    def _find(self) -> KafkaJvm:
        java = find_java(self._environ)
        cache = cache_folder(self._environ, self._home)
        jars = locked_jars("kafka.lock", cache / "jars", self._environ, self._home)
        return KafkaJvm(java, jars, find_class_archive(java, jars, cache / "cds"))
