"""The embedded stack: Kafka, an S3 server and PostgreSQL in one folder, started and stopped together."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import msgspec

from headrace_local.endpoints import S3_REGION, Endpoints
from headrace_local.errors import LocalStackError, PortTakenError, StackMismatchError
from headrace_local.folder import FolderLock
from headrace_local.kafka import KafkaDistribution, KafkaNode, KafkaSettings
from headrace_local.ports import port_is_free
from headrace_local.postgres import PostgresServer
from headrace_local.seaweed import PORT_FLAGS, SeaweedServer
from headrace_local.server import Server
from headrace_local.state import StackState, load_state, new_state, save_state

__all__ = ["BUCKET", "LocalStack"]

BUCKET = "lake"
"""The bucket that every stack has."""

_PORT_CHOICES = 5
_PORTS_FREE_WITHIN_S = 10.0
_KAFKA_PORTS = ("client", "controller")


class LocalStack:
    """Async context manager of all servers in `root`; data, ports and credentials survive every kind of end.

    `fast` trades the broker's peak speed for start time and memory (for demo and tests). One process at a time owns a
    folder (`StackInUseError`), and its number of brokers is fixed at the first start (`StackMismatchError`).
    """

    def __init__(
        self, root: Path, *, brokers: Literal[1, 3] = 1, fast: bool = True, detached: bool = False
    ) -> None:
        self.root = root.resolve()
        self._brokers = brokers
        self._fast = fast
        self._lock = FolderLock(self.root, detached=detached)
        self._servers: dict[str, Server] = {}
        self._endpoints: Endpoints | None = None

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers answer; `LocalStackError` before the stack is up."""
        if self._endpoints is None:
            raise LocalStackError("the stack has no endpoints yet; enter `async with LocalStack(...)` first")
        return self._endpoints

    @property
    def servers(self) -> Mapping[str, Server]:
        """All servers by name: `kafka-1` (to `kafka-3`), `s3`, `postgres`."""
        return MappingProxyType(self._servers)

    def environment(self) -> dict[str, str]:
        """The endpoints as settings of a Headrace service process."""
        return self.endpoints.environment()

    async def __aenter__(self) -> Self:
        """Start all servers in parallel and return when each answers its protocol."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            await self._start()
        except BaseException:
            await self._stop_all()
            self._lock.release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all servers in parallel and give the folder back."""
        try:
            await self._stop_all()
        finally:
            self._lock.release()

    async def _start(self) -> None:
        state = self._state()
        if state.settled:
            await _wait_for_ports(state)
            await self._start_all(state)
        else:
            state = await self._first_start(state)
        self._endpoints = self._endpoints_of(state)

    def _state(self) -> StackState:
        state = load_state(self.root) or new_state(self._brokers, _port_names(self._brokers))
        if state.brokers != self._brokers:
            raise StackMismatchError(
                f"the stack in {self.root} was created with {state.brokers} broker(s), not {self._brokers}; "
                "use another folder, or remove this one (its data are lost)"
            )
        return state

    async def _first_start(self, state: StackState) -> StackState:
        """Start with new ports as long as somebody else takes one of them between choice and use."""
        for _ in range(_PORT_CHOICES):
            save_state(self.root, state)
            try:
                await self._start_all(state)
            except LocalStackError:
                await self._stop_all()
                if not _taken(state):
                    raise
            else:
                settled = msgspec.structs.replace(state, settled=True)
                save_state(self.root, settled)
                return settled
            # The servers were never ready, so their folders hold nothing but addresses that no longer hold.
            for server in self._servers.values():
                shutil.rmtree(server.folder)
            state = new_state(self._brokers, _port_names(self._brokers))
        raise PortTakenError(
            f"{_PORT_CHOICES} sets of free ports were taken by others before the servers had them"
        )

    async def _start_all(self, state: StackState) -> None:
        self._servers = {server.name: server for server in self._servers_of(state)}
        results = await asyncio.gather(*(s.start() for s in self._servers.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _stop_all(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers.values()))

    def _servers_of(self, state: StackState) -> list[Server]:
        ports = {name: _ports_of(state, name) for name in _server_names(state.brokers)}
        nodes = range(1, state.brokers + 1)
        settings = KafkaSettings(
            cluster_id=state.kafka_cluster_id,
            controllers={node: ports[f"kafka-{node}"]["controller"] for node in nodes},
            fast=self._fast,
        )
        distribution = KafkaDistribution(os.environ, Path.home())
        kafka = [
            KafkaNode(n, self.root / f"kafka-{n}", ports[f"kafka-{n}"], settings, distribution) for n in nodes
        ]
        s3 = SeaweedServer(
            self.root / "s3",
            ports["s3"],
            bucket=BUCKET,
            access_key=state.s3_access_key,
            secret_key=state.s3_secret_key,
        )
        postgres = PostgresServer(self.root / "postgres", ports["postgres"], password=state.postgres_password)
        return [*kafka, s3, postgres]

    def _endpoints_of(self, state: StackState) -> Endpoints:
        s3, postgres = self._servers["s3"], self._servers["postgres"]
        assert isinstance(postgres, PostgresServer)
        return Endpoints(
            kafka_bootstrap=",".join(s.endpoint for s in self._servers.values() if isinstance(s, KafkaNode)),
            kafka_cluster_id=state.kafka_cluster_id,
            s3_endpoint=s3.endpoint,
            s3_bucket=BUCKET,
            s3_access_key=state.s3_access_key,
            s3_secret_key=state.s3_secret_key,
            s3_region=S3_REGION,
            postgres_dsn=postgres.dsn,
        )


def _server_names(brokers: int) -> list[str]:
    return [*(f"kafka-{n}" for n in range(1, brokers + 1)), "s3", "postgres"]


def _port_names(brokers: int) -> list[str]:
    """Every port of a stack as `server/port`."""
    kinds = {"s3": PORT_FLAGS, "postgres": ("sql",)}
    return [f"{name}/{port}" for name in _server_names(brokers) for port in kinds.get(name, _KAFKA_PORTS)]


def _ports_of(state: StackState, server: str) -> dict[str, int]:
    prefix = f"{server}/"
    return {name.removeprefix(prefix): port for name, port in state.ports.items() if name.startswith(prefix)}


def _taken(state: StackState) -> dict[str, int]:
    return {name: port for name, port in state.ports.items() if not port_is_free(port)}


async def _wait_for_ports(state: StackState) -> None:
    """Servers of an owner that was just killed may still be going; anybody else on our ports is an error."""
    deadline = time.monotonic() + _PORTS_FREE_WITHIN_S
    while taken := _taken(state):
        if time.monotonic() > deadline:
            names = ", ".join(f"{port} ({name})" for name, port in taken.items())
            raise PortTakenError(
                f"another program listens on the ports of this stack: {names}; end it, or remove the stack's folder "
                "to start afresh with other ports (its data are lost)"
            )
        with contextlib.suppress(TimeoutError):
            await asyncio.sleep(0.1)
