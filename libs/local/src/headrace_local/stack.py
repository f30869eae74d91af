"""The embedded stack: Kafka, an S3 server and PostgreSQL in one folder, started and stopped together."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import msgspec

from headrace_local.assembly import build_servers, endpoints_of, port_names
from headrace_local.endpoints import Endpoints
from headrace_local.errors import LocalStackError, PortTakenError, StackMismatchError
from headrace_local.folder import FolderLock
from headrace_local.ports import port_is_free
from headrace_local.server import Server
from headrace_local.state import StackState, load_state, new_state, save_state

__all__ = ["LocalStack"]

_PORT_CHOICES = 5
_PORTS_FREE_WITHIN_S = 10.0
_POLL_S = 0.05


class LocalStack:
    """Async context manager of all servers in `root`; data, ports and credentials survive every kind of end.

    `fast` trades the broker's peak speed for start time and memory (for demo and tests). One process at a time owns a
    folder (`StackInUseError`), and its number of brokers is fixed at the first start (`StackMismatchError`).
    `detached` says that the owner is a supervisor which may be asked to end.
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
        """Where the servers answer; `LocalStackError` before the stack was up."""
        if self._endpoints is None:
            raise LocalStackError(
                "The stack has no endpoints yet.",
                why="it was not started.",
                fix="enter `async with LocalStack(...)` first.",
                code="local.not_started",
            )
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
            self._endpoints = endpoints_of(await self._start())
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

    async def _start(self) -> StackState:
        state = self._state()
        if not state.settled:
            return await self._first_start(state)
        await _wait_for_ports(state)
        await self._start_all(state)
        return state

    def _state(self) -> StackState:
        state = load_state(self.root) or new_state(self._brokers, port_names(self._brokers))
        if state.brokers != self._brokers:
            raise StackMismatchError(
                f"The stack in {self.root} does not have {self._brokers} broker(s).",
                why=f"it was created with {state.brokers}, and that is fixed.",
                fix="use another folder, or remove this one (its data are lost).",
                code="local.brokers_differ",
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
                shutil.rmtree(server.folder, ignore_errors=True)
            state = new_state(self._brokers, port_names(self._brokers))
        raise PortTakenError(
            "No ports could be had for the stack.",
            why=f"{_PORT_CHOICES} sets of free ports were taken by others before the servers had them.",
            fix="try again when fewer programs start at once.",
            code="local.ports_taken",
        )

    async def _start_all(self, state: StackState) -> None:
        self._servers = build_servers(self.root, state, fast=self._fast)
        starts = [asyncio.ensure_future(server.start()) for server in self._servers.values()]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            # The first failure decides: nobody waits for the others, and each start cleans up after itself.
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            raise

    async def _stop_all(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers.values()))


def _taken(state: StackState) -> dict[str, int]:
    return {name: port for name, port in state.ports.items() if not port_is_free(port)}


async def _wait_for_ports(state: StackState) -> None:
    """Servers of an owner that was just killed may still be going; anybody else on our ports is an error."""
    deadline = time.monotonic() + _PORTS_FREE_WITHIN_S
    while taken := _taken(state):
        if time.monotonic() > deadline:
            names = ", ".join(f"{port} ({name})" for name, port in taken.items())
            raise PortTakenError(
                f"The stack cannot listen on its own ports: {names}.",
                why="another program has them; the ports of a stack are fixed at its first start.",
                fix="end that program, or remove the stack's folder to start afresh (its data are lost).",
                code="local.ports_taken",
            )
        await asyncio.sleep(_POLL_S)
