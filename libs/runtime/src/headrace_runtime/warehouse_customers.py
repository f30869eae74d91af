"""Customers and their aliases on PostgreSQL: what a resolution says, written as the difference to what is there.

The rows are sent first, into a table of the transaction. Then it locks the row of the events table, as loads and erasures
do, and only then looks at the suppression list: a subject that was suppressed before is left out, and an erasure that comes
after finds the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from headrace_core.identity import AliasRow
from headrace_core.tables import (
    CUSTOMER_ALIASES,
    CUSTOMERS,
    LOAD_LOCK,
    LOAD_LOCK_EVENTS,
    SUPPRESSED_SUBJECTS,
    Table,
)
from headrace_runtime.warehouse import PostgresConnection

__all__ = ["Written", "copy_lines", "write_customers"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNK_ROWS = 10_000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_ALIASES = ", ".join(CUSTOMER_ALIASES.column_names)

_LOCK = f"SELECT 1 FROM {LOAD_LOCK.full_name} WHERE name = '{LOAD_LOCK_EVENTS}' FOR UPDATE"
_NEW_ALIASES = f"CREATE TEMPORARY TABLE new_aliases (LIKE {CUSTOMER_ALIASES.full_name}) ON COMMIT DROP"
_COPY = f"COPY new_aliases ({_ALIASES}) FROM STDIN"
_SUPPRESS = f"""DELETE FROM new_aliases n USING {SUPPRESSED_SUBJECTS.full_name} s
WHERE (s.kind = n.kind AND s.value = n.alias) OR (s.kind = 'customer' AND s.value = n.customer_id)"""
_NEW_CUSTOMERS = """CREATE TEMPORARY TABLE new_customers ON COMMIT DROP AS
SELECT customer_id, min(valid_from) AS first_seen_ts, count(*) FILTER (WHERE user_key <> 'u:' || customer_id) AS alias_count,
       %s::timestamptz AS updated_ts
FROM new_aliases GROUP BY customer_id"""


def _removal(table: Table, new: str) -> str:
    [key] = table.key
    return f"DELETE FROM {table.full_name} t WHERE NOT EXISTS (SELECT FROM {new} n WHERE n.{key} = t.{key})"


def _merge(table: Table, new: str, compared: Sequence[str]) -> str:
    """Insert and update; a row that says the same stays as it is."""
    [key] = table.key
    names = ", ".join(table.column_names)
    set_to = ", ".join(f"{name} = EXCLUDED.{name}" for name in table.column_names if name != key)
    before, after = (", ".join(f"{row}.{name}" for name in compared) for row in ("t", "EXCLUDED"))
    return (
        f"INSERT INTO {table.full_name} AS t ({names}) SELECT {names} FROM {new} "
        f"ON CONFLICT ({key}) DO UPDATE SET {set_to} WHERE ({before}) IS DISTINCT FROM ({after})"
    )


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What changed: rows written and removed in both tables, and aliases left out for a suppressed subject."""

    aliases_written: int
    aliases_removed: int
    customers_written: int
    customers_removed: int
    suppressed: int


async def write_customers(
    connection: PostgresConnection, rows: Iterable[AliasRow], *, now_us: int
) -> Written:
    """Make both tables say what the rows say, in one transaction. Raises the errors of the connection."""
    await connection.begin()
    try:
        await connection.execute(_NEW_ALIASES)
        await connection.copy_in(_COPY, copy_lines(rows))
        await connection.execute(_LOCK)
        written = await _write(connection, now_us)
        await connection.commit()
    except BaseException:
        await connection.rollback()
        raise
    return written


async def _write(connection: PostgresConnection, now_us: int) -> Written:
    suppressed = await connection.count(_SUPPRESS)
    await connection.execute(_NEW_CUSTOMERS, (_time(now_us),))
    unchanged_by_time = [name for name in CUSTOMERS.column_names if name != "updated_ts"]
    return Written(
        suppressed=suppressed,
        aliases_removed=await connection.count(_removal(CUSTOMER_ALIASES, "new_aliases")),
        aliases_written=await connection.count(
            _merge(CUSTOMER_ALIASES, "new_aliases", CUSTOMER_ALIASES.column_names)
        ),
        customers_removed=await connection.count(_removal(CUSTOMERS, "new_customers")),
        customers_written=await connection.count(_merge(CUSTOMERS, "new_customers", unchanged_by_time)),
    )


def copy_lines(rows: Iterable[AliasRow]) -> Iterator[bytes]:
    """The rows in COPY's text format, some thousands at a time; in the order of the table's columns."""
    lines: list[str] = []
    for row in rows:
        texts = (row.user_key, row.kind, row.alias, row.customer_id, row.source)
        fields = [text.translate(_ESCAPES) for text in texts]
        lines.append("\t".join([*fields, f"{row.confidence:.4f}", _time(row.valid_from)]) + "\n")
        if len(lines) == _CHUNK_ROWS:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


def _time(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).isoformat()
