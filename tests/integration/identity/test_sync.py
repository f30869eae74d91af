"""`headrace identity sync` and `show` as commands, from a real PostgreSQL to a real broker."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.support.dedup_world import DedupWorld
from tests.support.warehouses import new_database

from headrace_core.errors import ExitCode
from headrace_core.topics import IDENTITY_EDGES
from headrace_local.stack import LocalStack

_QUERY = """SELECT 'user'::text AS kind, id AS alias, 'c-' || customer AS customer_id, changed,
       CASE WHEN active THEN 'assert' ELSE 'retract' END AS op
FROM crm -- comments too"""


class Commands:
    """A mapping database, and the command line on it."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.dsn = new_database(stack.endpoints.postgres_dsn)
        self.execute(
            "CREATE TABLE crm (id bigint, customer int, active boolean DEFAULT true, changed timestamptz DEFAULT now())"
        )

    def execute(self, statement: str) -> None:
        """Change the mapping."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`headrace identity …`."""
        return subprocess.run(
            [sys.executable, "-m", "headrace_cli", "identity", *arguments],
            env={**self.stack.environment(), "HEADRACE_IDENTITY_URL": self.dsn},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def sync(self, *more: str) -> dict[str, object]:
        """A sync that works; what it says."""
        arguments = ("sync", "--query", _QUERY, "--watermark-column", "changed", "--source", "crm", "--json")
        ended = self.run(*arguments, "--overlap", "0", *more)
        assert ended.returncode == 0, ended.stderr
        found: dict[str, object] = json.loads(ended.stdout)
        return found


@pytest.fixture
def commands(fresh_stack: LocalStack) -> Commands:
    return Commands(fresh_stack)


async def test_a_mapping_reaches_the_log_and_follows_its_table(
    commands: Commands, fresh_stack: LocalStack, tmp_path: Path
) -> None:
    world = DedupWorld(fresh_stack, tmp_path)
    refused = commands.run("sync", "--query", _QUERY)
    assert refused.returncode == ExitCode.CONFIGURATION
    assert IDENTITY_EDGES.name in refused.stderr
    await world.prepare()

    commands.execute(
        "INSERT INTO crm (id, customer, changed)"
        " SELECT n, n % 100, timestamptz '2026-01-01' + n * interval '1 s' FROM generate_series(1, 12000) n"
    )
    tried = commands.sync("--dry-run")
    assert (tried["rows"], await world.edges()) == (12_000, [])
    first = commands.sync()
    assert (first["rows"], first["asserted"], first["began"]) == (12_000, 12_000, "at the beginning")
    assert {edge.alias: edge.customer_id for edge in await world.edges()} == {
        str(n): f"c-{n % 100}" for n in range(1, 12_001)
    }

    commands.execute("UPDATE crm SET active = false, changed = now() WHERE id = 7")
    commands.execute("INSERT INTO crm (id, customer) VALUES (20000, 5)")
    second = commands.sync()
    assert (second["asserted"], second["retracted"]) == (2, 1), "the row at the watermark is read again"
    shown = json.loads(commands.run("show", "7", "--json").stdout)
    assert [(each["user_key"], each["customer_id"]) for each in shown] == [("u:7", None)]
    shown = json.loads(commands.run("show", "20000", "--json").stdout)
    assert [(each["user_key"], each["customer_id"]) for each in shown] == [("u:20000", "c-5")]
    assert "c-5" in commands.run("show", "20000").stdout


async def test_what_fails_says_why_and_skips_nothing(commands: Commands, tmp_path: Path) -> None:
    world = DedupWorld(commands.stack, tmp_path)
    await world.prepare()
    commands.execute("INSERT INTO crm (id, customer) VALUES (1, 1)")
    commands.sync()
    commands.execute(
        "INSERT INTO crm (id, customer, changed) VALUES (2, 2, now() + '1 s'), (NULL, 3, now() + '2 s')"
    )
    bad = commands.run("sync", "--query", _QUERY, "--watermark-column", "changed", "--source", "crm")
    assert bad.returncode == ExitCode.BAD_DATA
    assert "watermark waits" in bad.stderr
    commands.execute("UPDATE crm SET id = 3 WHERE id IS NULL")

    broker = commands.stack.servers["kafka-1"]
    broker.kill()
    away = commands.run("sync", "--query", _QUERY, "--watermark-column", "changed", "--source", "crm")
    assert away.returncode == ExitCode.UNAVAILABLE, away.stderr
    await broker.start()
    assert commands.sync()["asserted"] == 3, "everything since the first sync, and its own row again"
    assert {edge.alias for edge in await world.edges()} == {"1", "2", "3"}

    wrong = commands.run("sync", "--query", "SELECT * FROM nothing")
    assert (wrong.returncode, "nothing" in wrong.stderr) == (ExitCode.USAGE, True)
    nowhere = commands.run("sync", "--query", _QUERY, "--url", "postgresql://u:secret@127.0.0.1:9/db")
    assert nowhere.returncode == ExitCode.UNAVAILABLE
    assert "secret" not in nowhere.stderr
