"""Apache Kafka from plain jars: one process a node, broker and controller in one (KRaft)."""

import asyncio
import hashlib
import os
import shutil
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from headrace_local.cache import cache_folder
from headrace_local.fetch import fetch_jars
from headrace_local.java import Java, find_java
from headrace_local.lockfile import LockedJar, parse_lock
from headrace_local.maven import Repository, choose_repository
from headrace_local.ports import LOOPBACK
from headrace_local.processes import ServiceProcess, run_tool
from headrace_local.server import Server

__all__ = ["KAFKA_PORTS", "KafkaDistribution", "KafkaNode", "KafkaSettings", "server_properties"]

KAFKA_PORTS = ("client", "controller")
"""The ports of one node."""

_MIB = 1024 * 1024
_SIGTERM_STATUS = 143
_LOG_CONFIGURATION = """\
Configuration:
  Appenders:
    Console: {{name: console, PatternLayout: {{pattern: "%d %p %m (%c)%n"}}, ThresholdFilter: {{level: ERROR}}}}
    RollingFile:
      name: file
      fileName: "{folder}/server.log"
      filePattern: "{folder}/server.log.%i"
      PatternLayout: {{pattern: "%d %p %m (%c)%n"}}
      Policies: {{SizeBasedTriggeringPolicy: {{size: "16MB"}}}}
      DefaultRolloverStrategy: {{max: "3"}}
  Loggers: {{Root: {{level: INFO, AppenderRef: [{{ref: console}}, {{ref: file}}]}}}}
"""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """What all nodes of a cluster share. `controllers`: node id to controller port."""

    cluster_id: str
    controllers: Mapping[int, int]
    fast: bool


class KafkaDistribution:
    """The jars, a Java, and the shared class archive that halves start times; found on first use."""

    def __init__(self, environ: Mapping[str, str], home: Path) -> None:
        self._environ = environ
        self._home = home
        self._lock = threading.Lock()
        self._found: tuple[Java, list[Path]] | None = None

    def resolve(self) -> tuple[Java, list[Path]]:
        """Java and class path; fetches the jars if the cache lacks them. Blocks; for a worker thread."""
        with self._lock:
            if self._found is None:
                java = find_java(self._environ)
                self._found = java, fetch_jars(self._jars(), self._cache / "jars", self._repository)
            return self._found

    def archive(self, java: Java, jars: list[Path]) -> Path:
        """Where the class archive of this Java and these jars belongs; it may not exist yet."""
        key = "\n".join(
            [java.full, str(java.executable), *(f"{jar} {jar.stat().st_mtime_ns}" for jar in jars)]
        )
        return self._cache / "cds" / f"kafka-{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsa"

    @property
    def _cache(self) -> Path:
        return cache_folder(self._environ, self._home)

    def _repository(self) -> Repository:
        return choose_repository(self._environ, self._home)

    def _jars(self) -> tuple[LockedJar, ...]:
        return parse_lock(resources.files("headrace_local").joinpath("kafka.lock").read_text())


class KafkaNode(Server):
    """One node of the cluster; `ports` are those of `KAFKA_PORTS`."""

    def __init__(
        self,
        node_id: int,
        folder: Path,
        ports: Mapping[str, int],
        *,
        settings: KafkaSettings,
        distribution: KafkaDistribution,
    ) -> None:
        super().__init__(f"kafka-{node_id}", folder, ports)
        self._node_id = node_id
        self._settings = settings
        self._distribution = distribution
        self._archive: Path | None = None

    @property
    def endpoint(self) -> str:
        """`host:port` of the client listener."""
        return f"{LOOPBACK}:{self.ports['client']}"

    async def answers(self) -> bool:
        """Whether this node serves metadata of its own cluster, and the cluster counts it as a live member."""
        found = await _ask_metadata(self.ports["client"])
        return (
            found is not None
            and found.cluster_id == self._settings.cluster_id
            and self._node_id in found.nodes
        )

    async def stop(self) -> None:
        """Stop, and keep the class archive that the first orderly end of a node writes."""
        await super().stop()
        draft = self._archive_draft
        if self._archive is not None and draft.exists() and self._process is not None:
            if self._process.returncode in (0, _SIGTERM_STATUS):
                await asyncio.to_thread(_publish, draft, self._archive)
            draft.unlink(missing_ok=True)

    async def _prepare(self) -> ServiceProcess:
        java, jars = await asyncio.to_thread(self._distribution.resolve)
        self._archive = self._distribution.archive(java, jars)
        properties = server_properties(self._node_id, self.ports, self._settings, self.folder / "data")
        configuration = self.folder / "server.properties"
        configuration.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        (self.folder / "log4j2.yaml").write_text(_LOG_CONFIGURATION.format(folder=self.folder))
        if not (self.folder / "data" / "meta.properties").exists():
            await self._format(self._java(java, jars, self._fast_options(dump=False)), configuration)
        dump = self._settings.fast and self._node_id == 1 and not self._archive.exists()
        options = self._fast_options(dump=dump) if self._settings.fast else ["-Xmx1g"]
        return ServiceProcess(
            self.name,
            [*self._java(java, jars, options), "kafka.Kafka", configuration],
            {},
            self.log_path,
            cwd=self.folder,
            ready=self.answers,
            ready_within_s=120.0,
            grace_s=15.0,
            finished=None if dump else self._shut_down_cleanly,
        )

    def _shut_down_cleanly(self) -> bool:
        """The last node of a cluster waits 5 s for a quorum that has gone, long after its log is safe."""
        return (self.folder / "data" / ".kafka_cleanshutdown").exists()

    async def _format(self, java: list[str | Path], configuration: Path) -> None:
        tool: list[str | Path] = [
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={self._settings.cluster_id}",
            "-c",
            configuration,
        ]
        await run_tool(f"{self.name} format", [*java, *tool], {}, self.folder / "format.log", cwd=self.folder)

    @property
    def _archive_draft(self) -> Path:
        return self.folder / "classes.jsa.new"

    def _java(self, java: Java, jars: list[Path], options: list[str]) -> list[str | Path]:
        log4j = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.yaml'}"
        classpath = os.pathsep.join(map(str, jars))
        return [java.executable, *options, "-Djava.awt.headless=true", log4j, "-cp", classpath]

    def _fast_options(self, *, dump: bool) -> list[str]:
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        if dump:
            return [*options, f"-XX:ArchiveClassesAtExit={self._archive_draft}"]
        has_archive = self._archive is not None and self._archive.exists()
        return [*options, f"-XX:SharedArchiveFile={self._archive}"] if has_archive else options


def server_properties(
    node_id: int, ports: Mapping[str, int], settings: KafkaSettings, data: Path
) -> dict[str, str | int | Path]:
    """The configuration of one node; the cluster it belongs to may have one node or three."""
    nodes = len(settings.controllers)
    replicas = min(3, nodes)
    in_sync = max(1, replicas - 1)
    client, controller = (
        f"PLAINTEXT://{LOOPBACK}:{ports['client']}",
        f"CONTROLLER://{LOOPBACK}:{ports['controller']}",
    )
    return {
        "process.roles": "broker,controller",
        "node.id": node_id,
        "controller.quorum.voters": ",".join(f"{n}@{LOOPBACK}:{p}" for n, p in settings.controllers.items()),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{client},{controller}",
        "advertised.listeners": client,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # After SIGKILL a node is refused under its id until its old session ends: 12 s with the usual 9 s session.
        "broker.session.timeout.ms": 1500,
        "broker.heartbeat.interval.ms": 300,
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.fetch.timeout.ms": 1000,
        "message.max.bytes": 8 * _MIB,
        "replica.fetch.max.bytes": 8 * _MIB,
        "log.segment.bytes": 128 * _MIB,
        # The usual 128 MB of the cleaner do not fit into the small heap.
        "log.cleaner.dedupe.buffer.size": 16 * _MIB,
        "num.network.threads": 2,
        "num.io.threads": 4,
    }


@dataclass(frozen=True, slots=True)
class _Metadata:
    cluster_id: str
    nodes: frozenset[int]


async def _ask_metadata(port: int) -> _Metadata | None:
    """The cluster as this node sees it, by a Metadata request of version 2; None if nobody answers it."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return None
    try:
        writer.write(struct.pack(">ihhihi", 14, 3, 2, 0, -1, 0))
        size_bytes = struct.unpack(">i", await reader.readexactly(4))[0]
        return _parse_metadata(await reader.readexactly(size_bytes))
    except (OSError, asyncio.IncompleteReadError, struct.error):
        return None
    finally:
        writer.close()


def _parse_metadata(body: bytes) -> _Metadata:
    """The answer is a correlation id, the live brokers (id, host, port, rack), and the cluster id."""
    nodes: set[int] = set()
    count, at = struct.unpack_from(">i", body, 4)[0], 8
    for _ in range(count):
        node, host_bytes = struct.unpack_from(">ih", body, at)
        at += 6 + host_bytes + 4
        rack_bytes = struct.unpack_from(">h", body, at)[0]
        at += 2 + max(0, rack_bytes)
        nodes.add(node)
    id_bytes = struct.unpack_from(">h", body, at)[0]
    return _Metadata(body[at + 2 : at + 2 + id_bytes].decode(), frozenset(nodes))


def _publish(draft: Path, archive: Path) -> None:
    """Move the archive into the cache in one step: other nodes may be starting from it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    beside = archive.with_name(f"{archive.name}.{os.getpid()}")
    shutil.copyfile(draft, beside)
    beside.replace(archive)
