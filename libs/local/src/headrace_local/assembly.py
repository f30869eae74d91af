"""Which servers a stack has, which ports they need, and where clients find them, all from the kept state."""

import os
from pathlib import Path

from headrace_local.endpoints import S3_REGION, Endpoints
from headrace_local.kafka import KAFKA_PORTS, KafkaNode, KafkaSettings
from headrace_local.kafka_jvm import KafkaDistribution
from headrace_local.ports import LOOPBACK
from headrace_local.postgres import POSTGRES_PORTS, PostgresServer, warehouse_dsn
from headrace_local.seaweed import PORT_FLAGS, SeaweedServer
from headrace_local.server import Server
from headrace_local.state import StackState

__all__ = ["BUCKET", "build_servers", "endpoints_of", "port_names"]

BUCKET = "lake"
"""The bucket that every stack has."""


def port_names(brokers: int) -> list[str]:
    """Every port of a stack, as `server/port`."""
    kinds = {"s3": PORT_FLAGS, "postgres": POSTGRES_PORTS}
    names = [*(f"kafka-{node}" for node in range(1, brokers + 1)), *kinds]
    return [f"{name}/{port}" for name in names for port in kinds.get(name, KAFKA_PORTS)]


def endpoints_of(state: StackState) -> Endpoints:
    """Where the servers of this state answer when they are up."""
    brokers = (state.ports[f"kafka-{node}/client"] for node in range(1, state.brokers + 1))
    return Endpoints(
        kafka_bootstrap=",".join(f"{LOOPBACK}:{port}" for port in brokers),
        kafka_cluster_id=state.kafka_cluster_id,
        s3_endpoint=f"http://{LOOPBACK}:{state.ports['s3/s3.port']}",
        s3_bucket=BUCKET,
        s3_access_key=state.s3_access_key,
        s3_secret_key=state.s3_secret_key,
        s3_region=S3_REGION,
        postgres_dsn=warehouse_dsn(state.ports["postgres/sql"], state.postgres_password),
    )


def build_servers(root: Path, state: StackState, *, fast: bool) -> dict[str, Server]:
    """The servers by name, none of them started."""
    nodes = range(1, state.brokers + 1)
    settings = KafkaSettings(
        cluster_id=state.kafka_cluster_id,
        controllers={node: state.ports[f"kafka-{node}/controller"] for node in nodes},
        fast=fast,
    )
    distribution = KafkaDistribution(os.environ, Path.home())
    servers: list[Server] = [
        KafkaNode(
            node,
            root / f"kafka-{node}",
            _ports_of(state, f"kafka-{node}"),
            settings=settings,
            distribution=distribution,
        )
        for node in nodes
    ]
    keys = {"access_key": state.s3_access_key, "secret_key": state.s3_secret_key}
    servers.append(SeaweedServer(root / "s3", _ports_of(state, "s3"), bucket=BUCKET, **keys))
    ports = _ports_of(state, "postgres")
    servers.append(PostgresServer(root / "postgres", ports, password=state.postgres_password))
    return {server.name: server for server in servers}


def _ports_of(state: StackState, server: str) -> dict[str, int]:
    prefix = f"{server}/"
    return {name.removeprefix(prefix): port for name, port in state.ports.items() if name.startswith(prefix)}
