"""A customer mapping in any database that SQLAlchemy speaks to, read in batches under a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from headrace_cli.identity_watermark import Bound
from headrace_core.errors import Bug, HeadraceError, Unavailable, UsageError

__all__ = ["BATCH_ROWS", "MappingTable", "Row"]

Row = dict[str, object]

BATCH_ROWS = 5_000
_BATCH_DEADLINE_S = 300.0
_CONNECT_DEADLINE_S = 10
_LOOK_S = 0.5
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""The driver that comes with Headrace, where the URL names none."""


@dataclass(frozen=True, slots=True)
class MappingTable:
    """A query, read as a table; ``column`` orders it and says where to read on."""

    url: str
    query: str
    column: str | None = None

    async def batches(
        self, bound: Bound | None, *, deadline_s: float = _BATCH_DEADLINE_S
    ) -> AsyncGenerator[list[Row], None]:
        """All rows from ``bound`` on, those without a value in the column too.

        Drivers block, and not all can be given a deadline: they run in a thread of their own that ends with the process.
        UsageError where URL or query are wrong, Unavailable where no batch comes within the deadline.
        """
        parts: queue.Queue[list[Row] | HeadraceError | None] = queue.Queue(maxsize=2)
        stop = threading.Event()
        threading.Thread(target=self._pump, args=(bound, parts, stop), daemon=True).start()
        try:
            while (part := await _next(parts, deadline_s)) is not None:
                if isinstance(part, HeadraceError):
                    raise part
                yield part
        finally:
            stop.set()

    def _pump(
        self,
        bound: Bound | None,
        parts: queue.Queue[list[Row] | HeadraceError | None],
        stop: threading.Event,
    ) -> None:
        last: HeadraceError | None = None
        try:
            for batch in self._read(bound):
                if not _put(parts, batch, stop):
                    return
        except HeadraceError as error:
            last = error
        except Exception as error:  # whatever a driver raises: nobody else hears of it
            last = _translated(error)
        _put(parts, last, stop)

    def _read(self, bound: Bound | None) -> Iterator[list[Row]]:
        engine = self._engine()
        try:
            with engine.connect() as connection:
                statement = self._statement(engine, bound)
                found = connection.execution_options(stream_results=True, yield_per=BATCH_ROWS).execute(
                    statement
                )
                for rows in found.mappings().partitions(BATCH_ROWS):
                    yield [dict(row) for row in rows]
        finally:
            engine.dispose()

    def _engine(self) -> sqlalchemy.Engine:
        url = sqlalchemy.make_url(self.url)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        more: dict[str, Any] = {}
        if url.drivername == "postgresql+psycopg":
            more["connect_args"] = {
                "connect_timeout": _CONNECT_DEADLINE_S,
                "options": "-c default_transaction_read_only=on",
            }
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, **more)

    def _statement(self, engine: sqlalchemy.Engine, bound: Bound | None) -> sqlalchemy.TextClause:
        """The query as a table of its own, so that it may be any SELECT. A colon in it is no parameter."""
        own = self.query.strip().rstrip(";").replace(":", "\\:")
        if self.column is None:
            return sqlalchemy.text(own)
        column = f"q.{engine.dialect.identifier_preparer.quote(self.column)}"
        told = "" if bound is None else f" WHERE {column} >= :bound OR {column} IS NULL"
        # The line break ends a comment that the query may end in.
        statement = sqlalchemy.text(f"SELECT q.* FROM ({own}\n) q{told} ORDER BY {column}")  # noqa: S608 # the caller's own
        return statement if bound is None else statement.bindparams(bound=bound)


def _put(
    parts: queue.Queue[list[Row] | HeadraceError | None],
    part: list[Row] | HeadraceError | None,
    stop: threading.Event,
) -> bool:
    """Whether anybody still reads."""
    while not stop.is_set():
        try:
            parts.put(part, timeout=_LOOK_S)
        except queue.Full:
            continue
        return True
    return False


async def _next(
    parts: queue.Queue[list[Row] | HeadraceError | None], deadline_s: float
) -> list[Row] | HeadraceError | None:
    """The next part. Looked for in short turns: a turn is a thread, and the process ends no sooner than the last one."""
    deadline = time.monotonic() + deadline_s
    while (left_s := deadline - time.monotonic()) > 0:
        with contextlib.suppress(queue.Empty):
            return await asyncio.to_thread(parts.get, timeout=min(_LOOK_S, left_s))
    raise Unavailable(
        "The mapping database does not answer.",
        why=f"No rows came within {deadline_s:g} s.",
        fix="Check the database; an index on the watermark column makes reading on fast. Then run the sync again.",
        code="mapping_unavailable",
    )


def _translated(error: Exception) -> HeadraceError:
    """The URL is never quoted: a password may stand in it."""
    if isinstance(error, (ArgumentError, NoSuchModuleError, ModuleNotFoundError)):
        return UsageError(
            "The URL of the mapping database cannot be used.",
            why=str(error)
            if isinstance(error, (NoSuchModuleError, ModuleNotFoundError))
            else "It is no URL.",
            fix="Write it as postgresql://user:password@host:port/database, or install the driver that it names.",
            code="mapping_url",
        )
    why = str(error.orig).strip() if isinstance(error, DBAPIError) and error.orig is not None else str(error)
    if isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, OSError)):
        return Unavailable(
            "The mapping database cannot be read.",
            why=why,
            fix="Check the address, the credentials, the network and the query. Then run the sync again.",
            code="mapping_unavailable",
        )
    if not isinstance(error, SQLAlchemyError):
        return Bug("Reading the mapping failed.", why=repr(error), fix="Report this.", code="internal")
    return UsageError(
        "The query fails.",
        why=why,
        fix="Run it by hand: it selects kind, alias and customer_id, and the watermark column if one is named.",
        code="mapping_query",
    )
