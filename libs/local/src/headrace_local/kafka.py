"""Apache Kafka from plain jars: one process a node, broker and controller in one (KRaft)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace_local.kafka_jvm import KafkaDistribution, KafkaJvm
from headrace_local.kafka_probe import ask_cluster
from headrace_local.ports import LOOPBACK
from headrace_local.processes import ServiceProcess, run_tool
from headrace_local.server import Server

__all__ = ["KAFKA_PORTS", "KafkaNode", "KafkaSettings", "server_properties"]

KAFKA_PORTS = ("client", "controller")
"""The ports of one node."""

_MIB = 1024 * 1024
_SIGTERM_STATUS = 143
_FAST_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_THROUGHPUT_OPTIONS = ("-Xmx1g", "-XX:+UseG1GC")
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
        self._jvm: KafkaJvm | None = None

    @property
    def endpoint(self) -> str:
        """`host:port` of the client listener."""
        return f"{LOOPBACK}:{self.ports['client']}"

    async def answers(self) -> bool:
        """Whether this node serves metadata of its own cluster, and the cluster counts it as a live member."""
        view = await ask_cluster(self.ports["client"])
        return (
            view is not None and view.cluster_id == self._settings.cluster_id and self._node_id in view.nodes
        )

    async def stop(self) -> None:
        """Stop, and keep the class archive that the first orderly end of a node writes."""
        await super().stop()
        archive = None if self._jvm is None else self._jvm.archive
        if archive is not None and self._archive_draft.exists() and self._process is not None:
            if self._process.returncode in (0, _SIGTERM_STATUS):
                await asyncio.to_thread(archive.publish, self._archive_draft)
            self._archive_draft.unlink()

    async def _prepare(self) -> ServiceProcess:
        self._jvm = jvm = await asyncio.to_thread(self._distribution.resolve)
        properties = server_properties(self._node_id, self.ports, self._settings, self.folder / "data")
        configuration = self.folder / "server.properties"
        configuration.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        logging = self.folder / "log4j2.yaml"
        logging.write_text(_LOG_CONFIGURATION.format(folder=self.folder))
        if not (self.folder / "data" / "meta.properties").exists():
            await self._format(jvm.command(self._fast_options(jvm, None), logging), configuration)
        draft = self._archive_draft if self._writes_archive(jvm) else None
        options = self._fast_options(jvm, draft) if self._settings.fast else _THROUGHPUT_OPTIONS
        return ServiceProcess(
            self.name,
            [*jvm.command(options, logging), "kafka.Kafka", configuration],
            {},
            self.log_path,
            cwd=self.folder,
            ready=self.answers,
            ready_within_s=120.0,
            grace_s=15.0,
            finished=self._shut_down_cleanly if draft is None else None,
        )

    async def _format(self, java: list[str], configuration: Path) -> None:
        cluster = f"--cluster-id={self._settings.cluster_id}"
        tool = ["kafka.tools.StorageTool", "format", cluster, "-c", str(configuration)]
        await run_tool(f"{self.name} format", [*java, *tool], {}, self.folder / "format.log", cwd=self.folder)

    def _shut_down_cleanly(self) -> bool:
        """The last node of a cluster waits 5 s for a quorum that has gone, long after its log is safe."""
        return (self.folder / "data" / ".kafka_cleanshutdown").exists()

    def _writes_archive(self, jvm: KafkaJvm) -> bool:
        return (
            self._settings.fast and self._node_id == 1 and jvm.archive is not None and not jvm.archive.exists
        )

    @property
    def _archive_draft(self) -> Path:
        return self.folder / "classes.jsa.new"

    def _fast_options(self, jvm: KafkaJvm, draft: Path | None) -> list[str]:
        archive = [] if jvm.archive is None else jvm.archive.options(draft)
        return [*_FAST_OPTIONS, *archive]


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
