"""A whole Headrace on this machine: the embedded stack, its topics and tables, and every service as a process.

The demo, the integration tests and the benchmarks start the same services with the same settings as an installation on
Kubernetes does; only addresses and cadence differ.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import httpx

from headrace_core.topics import TOPICS
from headrace_local.keys import LocalKeys
from headrace_local.ports import LOOPBACK, choose_ports
from headrace_local.processes import Probe, ServiceProcess, run_tool
from headrace_local.stack import LocalStack
from headrace_runtime.kafka import KafkaConnection, KafkaLogAdmin
from headrace_runtime.ports_log import TopicSpec

__all__ = ["SERVICES", "Installation", "InstallationSettings", "KnownInstallation", "create_topics", "recall"]

SERVICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ingest": ("headrace_ingest",),
        "dedup": ("headrace_dedup",),
        "stage": ("headrace_loader", "stage"),
        "archive": ("headrace_loader", "archive"),
        "load": ("headrace_loader", "load"),
        "api": ("headrace_api",),
    }
)
"""Module and arguments of each service, in the order of the flow."""

_READY_WITHIN_S = 60.0
_SETTINGS_FILE = "installation.json"
_STOP_GRACE_S = 12.0


@dataclass(frozen=True, slots=True)
class InstallationSettings:
    """What may differ between installations on one machine. ``cadence_s`` is how often stage cuts and load loads."""

    partitions: int = 4
    brokers: Literal[1, 3] = 1
    fast: bool = True
    cadence_s: float = 2.0
    sources: tuple[str, ...] = ("web",)
    source_settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """More fields of a source's entry in the key file, by source."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More settings for every service."""


@dataclass(frozen=True, slots=True)
class KnownInstallation:
    """What the folder of an installation says without starting anything; empty where there is none."""

    service_urls: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def recall(root: Path) -> KnownInstallation:
    """Addresses and settings of the installation in a folder."""
    kept = root / _SETTINGS_FILE
    if not kept.exists():
        return KnownInstallation()
    document = json.loads(kept.read_text())
    return KnownInstallation(document["service_urls"], document["environment"])


class Installation:
    """Async context manager of everything in ``root``. Each service can be killed and started again by itself."""

    def __init__(self, root: Path, settings: InstallationSettings | None = None) -> None:
        self.root = root.resolve()
        self.settings = settings or InstallationSettings()
        self.stack = LocalStack(self.root / "stack", brokers=self.settings.brokers, fast=self.settings.fast)
        self.services: dict[str, ServiceProcess] = {}
        self.keys = LocalKeys(self.root)
        self.ports: dict[str, int] = {}
        """The port of each service."""

    @property
    def ingest_url(self) -> str:
        """Where clients send events."""
        return f"http://{LOOPBACK}:{self.ports['ingest']}"

    @property
    def api_url(self) -> str:
        """Where the inspection API and the console answer."""
        return f"http://{LOOPBACK}:{self.ports['api']}"

    @property
    def mappings_dir(self) -> Path:
        """The folder in which ingest and dedup look for mapping files."""
        return self.root / "mappings"

    def write_key(self, source: str) -> str:
        """The key of a source of this installation."""
        return self.keys.all()[source]

    async def __aenter__(self) -> Self:
        """Start the stack, then topics and tables, then every service; returns when all are ready."""
        await self.stack.__aenter__()
        try:
            await self._prepare()
            await asyncio.gather(*(service.start() for service in self.services.values()))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop the services in the order of the flow, then the stack."""
        await self._stop()

    async def _stop(self) -> None:
        try:
            await asyncio.gather(*(service.stop() for service in self.services.values()))
        finally:
            await self.stack.__aexit__(None, None, None)

    async def _prepare(self) -> None:
        self.mappings_dir.mkdir(parents=True, exist_ok=True)
        self.ports = self._keep("ports.json", lambda: choose_ports(SERVICES))
        for source in self.settings.sources:
            self.keys.ensure(source, self.settings.source_settings.get(source))
        environment = self.environment()
        await asyncio.gather(
            create_topics(
                self.stack.endpoints.kafka_bootstrap, self.settings.partitions, min(3, self.settings.brokers)
            ),
            run_tool(
                "migrate",
                [sys.executable, "-m", "headrace_loader", "migrate"],
                environment,
                self.root / "logs" / "migrate.log",
            ),
        )
        self.services = {name: self._service(name, environment) for name in SERVICES}
        self._remember(environment)

    def _remember(self, environment: Mapping[str, str]) -> None:
        """Write down what `recall` reads; the environment holds this machine's own passwords."""
        urls = {name: f"http://{LOOPBACK}:{port}" for name, port in self.ports.items()}
        kept = self.root / _SETTINGS_FILE
        kept.touch(mode=0o600)
        kept.write_text(json.dumps({"service_urls": urls, "environment": dict(environment)}))

    def _keep(self, name: str, make: Callable[[], dict[str, int]]) -> dict[str, int]:
        """A choice made once and kept, so that addresses survive a restart."""
        path = self.root / name
        if not path.exists():
            path.write_text(json.dumps(make()))
        kept: dict[str, int] = json.loads(path.read_text())
        return kept

    def environment(self) -> dict[str, str]:
        """The settings of every service of this installation, without its port."""
        cadence = str(self.settings.cadence_s)
        return {
            **self.stack.environment(),
            "HEADRACE_PARTITIONS": str(self.settings.partitions),
            "HEADRACE_WRITE_KEYS_FILE": str(self.keys.hashes),
            "HEADRACE_MAPPINGS_DIR": str(self.mappings_dir),
            "HEADRACE_STAGE_CUT_AGE_S": cadence,
            "HEADRACE_LOAD_INTERVAL_S": cadence,
            "HEADRACE_SHUTDOWN_GRACE_S": "10",
            **self.settings.environment,
        }

    def _service(self, name: str, environment: Mapping[str, str]) -> ServiceProcess:
        port = self.ports[name]
        return ServiceProcess(
            name,
            [sys.executable, "-m", *SERVICES[name]],
            {**environment, "HEADRACE_HTTP_PORT": str(port), "HEADRACE_INSTANCE": f"{name}-1"},
            self.root / "logs" / f"{name}.log",
            ready=_ready(f"http://{LOOPBACK}:{port}/readyz"),
            ready_within_s=_READY_WITHIN_S,
            grace_s=_STOP_GRACE_S,
        )


def _ready(url: str) -> Probe:
    """Whether the service says that it takes work."""

    async def probe() -> bool:
        async with httpx.AsyncClient(timeout=2.0) as client:
            try:
                answer = await client.get(url)
            except httpx.TransportError:
                return False
        return answer.status_code == 200

    return probe


async def create_topics(cluster: str | KafkaConnection, partitions: int, replication: int) -> frozenset[str]:
    """Create the topics of headrace_core.topics that are missing; the names created. ``cluster``: addresses, or more."""
    admin = KafkaLogAdmin(KafkaConnection(cluster) if isinstance(cluster, str) else cluster)
    await admin.start()
    try:
        return await admin.create_topics(
            [
                TopicSpec(
                    topic.name,
                    partitions if topic.partitions == "P" else 1,
                    replication,
                    {**topic.config, "min.insync.replicas": str(max(1, replication - 1))},
                )
                for topic in TOPICS
            ]
        )
    finally:
        await admin.stop()
