"""Bring the warehouse's schema to the revision that this code knows, and refuse to load into an older one."""

from __future__ import annotations

from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from headrace_core.errors import HeadraceError, RetryLater
from headrace_core.tables import SCHEMA_VERSION_TABLE
from headrace_runtime.warehouse import PostgresConnection, check_dsn, translate

__all__ = ["check_revision", "head_revision", "migrate"]

_LOCK = 0x6864_6D67
"""Advisory lock under which one process at a time migrates."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def head_revision() -> str:
    """The revision that this code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # the package ships at least one revision
    return head


def migrate(dsn: str, *, connect_timeout_s: int = 10) -> str:
    """Upgrade to `head_revision`, which is returned; nothing changes where the warehouse is there already.

    One transaction; concurrent calls wait for each other. Raises Unavailable, ConfigurationError or BadData.
    """
    check_dsn(dsn)
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            dsn, connect_timeout=connect_timeout_s, application_name="headrace-migrate"
        ),
        poolclass=sqlalchemy.NullPool,
    )
    config = _config()
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({_LOCK})"))
            connection.execute(sqlalchemy.text("CREATE SCHEMA IF NOT EXISTS ops"))
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except sqlalchemy.exc.DBAPIError as error:
        raise translate(error.orig or error) from error
    except psycopg.Error as error:
        raise translate(error) from error
    finally:
        engine.dispose()
    return head_revision()


async def check_revision(connection: PostgresConnection) -> None:
    """RetryLater where the warehouse is behind this code; a newer one is fine, since its changes are additive."""
    try:
        rows = await connection.execute(f"SELECT version_num FROM ops.{SCHEMA_VERSION_TABLE}")  # noqa: S608 # a constant
    except HeadraceError as error:
        if error.code != "warehouse_setup":
            raise
        rows = []
    known = head_revision()
    found = rows[0][0] if rows else None
    if found is None or found < known:
        raise RetryLater(
            "The warehouse is not migrated yet.",
            why=f"It is at revision {found or 'none'}, this loader needs {known}.",
            fix="Run `python -m headrace_loader migrate` first: the order is migrate, loader, dedup.",
            code="warehouse_not_migrated",
        )
