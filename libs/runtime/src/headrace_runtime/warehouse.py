"""A PostgreSQL connection under deadlines, whose errors are those of headrace_core.errors.

The server ends statements, lock waits and abandoned transactions by itself (settings of the session), and the client
gives up a little later, so that neither a dead server nor a dead client holds the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from headrace_core.errors import BadData, Bug, ConfigurationError, HeadraceError, Unavailable

__all__ = ["CommitUnknown", "PostgresConnection", "check_dsn", "translate"]

_GRACE_S = 5.0
"""The client's deadline lies this much after the server's, so that the server's own words arrive where it has any."""

_RETRY = (
    pg.IdleInTransactionSessionTimeout,
    pg.LockNotAvailable,
    pg.QueryCanceled,
    pg.TransactionRollback,
    pg.UniqueViolation,  # another writer was there first: the next attempt reads what it wrote
)
_SETUP = (
    pg.InsufficientPrivilege,
    pg.InvalidAuthorizationSpecification,
    pg.InvalidPassword,
    pg.InvalidCatalogName,
    pg.InvalidSchemaName,
    pg.UndefinedTable,
    pg.UndefinedColumn,
    pg.DiskFull,
)
_REFUSED = (pg.DataError, pg.IntegrityError, pg.ProgramLimitExceeded)
_LOST = (psycopg.OperationalError, TimeoutError, OSError)


class CommitUnknown(Unavailable):
    """COMMIT was sent and no reply came: the transaction may be in or not."""


def translate(error: BaseException) -> HeadraceError:
    """The error of headrace_core.errors that a driver's error stands for: its class says what the caller does."""
    detail = str(error).strip() or type(error).__name__
    if isinstance(error, _SETUP):
        return ConfigurationError(
            "The warehouse is not set up for this.",
            why=detail,
            fix="Run `python -m headrace_loader migrate`, check the role's grants and the server's free space.",
            code="warehouse_setup",
        )
    if isinstance(error, _RETRY) or (isinstance(error, _LOST) and not isinstance(error, _REFUSED)):
        return Unavailable(
            "The warehouse does not answer as it should.",
            why=detail,
            fix="Nothing to do here if it passes: the step is tried again. Otherwise look at the server's log.",
            code="warehouse_unavailable",
        )
    if isinstance(error, _REFUSED):
        context = getattr(getattr(error, "diag", None), "context", None)
        return BadData(
            "The warehouse refuses the data.",
            why=f"{detail} {context or ''}".strip(),
            code="warehouse_refused",
        )
    return Bug("A statement is wrong.", why=detail, fix="Report this with the server's log.", code="sql")


def check_dsn(dsn: str) -> None:
    """ConfigurationError where ``dsn`` is no connection string. It never quotes it: a password may stand in it."""
    try:
        conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "The address of the warehouse is no connection string.",
            why="HEADRACE_WAREHOUSE_DSN cannot be parsed.",
            fix="Write it as postgresql://user:password@host:port/database.",
            code="warehouse_dsn",
        ) from None


class PostgresConnection:
    """One connection in autocommit mode with explicit transactions."""

    def __init__(
        self, connection: psycopg.AsyncConnection[tuple[Any, ...]], statement_timeout_s: float
    ) -> None:
        self._connection = connection
        self._deadline_s = statement_timeout_s + _GRACE_S

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        application_name: str,
        connect_timeout_s: float = 10.0,
        statement_timeout_s: float = 300.0,
        lock_timeout_s: float = 60.0,
        idle_in_transaction_s: float = 60.0,
    ) -> PostgresConnection:
        """Connect; Unavailable or ConfigurationError where that fails. The session's time zone is UTC."""
        settings = {
            "timezone": "UTC",
            "statement_timeout": _ms(statement_timeout_s),
            "lock_timeout": _ms(lock_timeout_s),
            "idle_in_transaction_session_timeout": _ms(idle_in_transaction_s),
        }
        check_dsn(dsn)
        async with _translated(connect_timeout_s + _GRACE_S):
            connection = await psycopg.AsyncConnection.connect(
                dsn,
                autocommit=True,
                prepare_threshold=None,
                application_name=application_name,
                connect_timeout=max(2, round(connect_timeout_s)),
                keepalives_idle=10,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=_ms(30),
                options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
            )
        return cls(connection, statement_timeout_s)

    @property
    def backend_pid(self) -> int:
        """Process id of the server's side."""
        return self._connection.info.backend_pid

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.closed

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows, none where it returns none."""
        async with _translated(self._deadline_s, self._connection):
            cursor = await self._connection.execute(_own(statement), parameters or None)
            return await cursor.fetchall() if cursor.description is not None else []

    async def count(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows that it touched."""
        async with _translated(self._deadline_s, self._connection):
            cursor = await self._connection.execute(_own(statement), parameters or None)
            return cursor.rowcount

    async def copy_in(self, statement: str, chunks: Iterator[bytes]) -> int:
        """Send ``chunks`` to a COPY FROM STDIN; rows copied. Chunks are made in a thread while the last one is sent."""
        async with _translated(self._deadline_s, self._connection):
            cursor = self._connection.cursor()
            async with cursor.copy(_own(statement)) as copy:
                upcoming = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
                try:
                    while (chunk := await upcoming) is not None:
                        upcoming = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
                        await copy.write(chunk)
                finally:
                    await _finished(upcoming)
            return cursor.rowcount

    async def begin(self) -> None:
        """Start a transaction that takes a new snapshot for each statement."""
        await self.execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    async def commit(self) -> None:
        """Commit; `CommitUnknown` where no reply came."""
        try:
            await self.execute("COMMIT")
        except Unavailable as error:
            raise CommitUnknown(
                "COMMIT got no reply.",
                why=error.why,
                fix="Nothing to do: what was committed is read back under the lock.",
                code="commit_unknown",
            ) from error

    async def rollback(self) -> None:
        """Roll back; a connection that cannot is closed, which has the same effect."""
        try:
            await self.execute("ROLLBACK")
        except HeadraceError:
            await self.close()

    async def close(self) -> None:
        """Close; never raises."""
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._connection.close()
        except (psycopg.Error, TimeoutError, OSError):
            return


@asynccontextmanager
async def _translated(
    deadline_s: float, connection: psycopg.AsyncConnection[Any] | None = None
) -> AsyncIterator[None]:
    """Run the body under a deadline; a foreign error becomes ours, and after a timeout the connection is closed."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as error:
        if connection is not None:
            connection.pgconn.finish()
        raise translate(error) from error
    except (psycopg.Error, OSError) as error:
        raise translate(error) from error


async def _finished(task: asyncio.Future[bytes | None]) -> None:
    """A thread cannot be stopped: wait for it, so that its iterator is free; its own error matters only if it was awaited."""
    if not task.done():
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _own(statement: str) -> bytes:
    """As bytes: the driver takes text only where it is a literal; ours is rendered from templates and never from data."""
    return statement.encode()
