"""A TCP proxy before PostgreSQL that loses COMMITs: before the server has them, or on the way of their reply."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CommitProxy", "commit_proxy"]

Loss = Literal["request", "reply"]
_COMMIT = b"COMMIT\x00"


@dataclass
class CommitProxy:
    """`losses` decides about the next COMMITs in order: each loses its request or its reply, and the connection ends."""

    host: str
    port: int
    losses: list[Loss] = field(default_factory=list)
    lost: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self.host, self.port)
        answers = asyncio.create_task(_pump(server, to_client))
        try:
            while data := await client.read(1 << 16):
                if self.losses and data.endswith(_COMMIT):
                    await self._lose(data, to_server, server, answers)
                    return
                to_server.write(data)
                await to_server.drain()
        except ConnectionError:
            return
        finally:
            answers.cancel()
            to_server.close()
            to_client.close()

    async def _lose(
        self,
        data: bytes,
        to_server: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        answers: asyncio.Task[None],
    ) -> None:
        self.lost += 1
        answers.cancel()
        with suppress(asyncio.CancelledError):
            await answers
        if self.losses.pop(0) == "reply":
            to_server.write(data)
            await to_server.drain()
            await server.read(1)

    async def stop(self) -> None:
        """End all connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()


@asynccontextmanager
async def commit_proxy(dsn: str) -> AsyncIterator[tuple[CommitProxy, str]]:
    """The proxy, and the connection string through it."""
    credentials, _, place = dsn.rpartition("@")
    address, _, database = place.partition("/")
    host, _, port = address.partition(":")
    proxy = CommitProxy(host, int(port))
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    try:
        own = server.sockets[0].getsockname()[1]
        yield proxy, f"{credentials}@127.0.0.1:{own}/{database}"
    finally:
        server.close()
        await proxy.stop()
        await server.wait_closed()
