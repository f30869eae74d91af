"""The load's statements on its control tables, for PostgreSQL: ledger, set-aside files, days, and what discovery asks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from headrace_core.tables import (
    LOAD_ERROR,
    LOAD_LEDGER,
    SUPPRESSED_SUBJECTS,
    Table,
    events_partition,
)

__all__ = [
    "ANY_SUPPRESSED",
    "FORGET_ERRORS",
    "INSERT_LEDGER",
    "LEDGER_OF",
    "LOADED_UP_TO",
    "MOVE_DISPLACED",
    "RELEASED",
    "RELEASE_FILES",
    "SETTLED",
    "SET_ASIDE",
    "STAGE_COLUMNS",
    "days_with_rows",
]


def _values(table: Table) -> str:
    return f"({', '.join(table.column_names)}) VALUES ({', '.join(['%s'] * len(table.columns))})"


LEDGER_OF = (
    f"SELECT {', '.join(LOAD_LEDGER.column_names)} FROM {LOAD_LEDGER.full_name} WHERE file_id = ANY(%s)"
)

INSERT_LEDGER = f"INSERT INTO {LOAD_LEDGER.full_name} {_values(LOAD_LEDGER)}"

MOVE_DISPLACED = f"""\
UPDATE {LOAD_LEDGER.full_name} t
SET rows_inserted = t.rows_inserted - g.moved, rows_present = t.rows_present + g.moved
FROM unnest(%s::bigint[], %s::bigint[]) g(file_id, moved)
WHERE t.file_id = g.file_id"""

FORGET_ERRORS = f"DELETE FROM {LOAD_ERROR.full_name} WHERE file_id = ANY(%s)"

SET_ASIDE = f"""\
INSERT INTO {LOAD_ERROR.full_name} {_values(LOAD_ERROR)}
ON CONFLICT (file_id) DO UPDATE SET
    code = excluded.code, message = excluded.message, set_aside_ts = excluded.set_aside_ts, released_ts = NULL"""

ANY_SUPPRESSED = f"SELECT EXISTS (SELECT FROM {SUPPRESSED_SUBJECTS.full_name})"

STAGE_COLUMNS = """\
SELECT a.attname
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum"""

LOADED_UP_TO = f"""\
SELECT chain_partition, max(chain_start)
FROM (
    SELECT chain_partition, chain_start FROM {LOAD_LEDGER.full_name}
    UNION ALL
    SELECT chain_partition, chain_start FROM {LOAD_ERROR.full_name}
) f
GROUP BY 1"""

SETTLED = f"""\
SELECT file_id FROM {LOAD_LEDGER.full_name} WHERE file_id = ANY(%s)
UNION
SELECT file_id FROM {LOAD_ERROR.full_name} WHERE released_ts IS NULL AND file_id = ANY(%s)"""

RELEASED = f"""\
SELECT DISTINCT chain_partition, chain_start FROM {LOAD_ERROR.full_name}
WHERE released_ts IS NOT NULL ORDER BY 1, 2"""

RELEASE_FILES = f"""\
UPDATE {LOAD_ERROR.full_name} SET released_ts = now()
WHERE released_ts IS NULL AND (file_key = ANY(%s) OR %s)"""


def days_with_rows(days: Collection[date]) -> str:
    """Those of ``days``, which all have a partition, that hold any row."""
    one = "SELECT date '{day}' WHERE EXISTS (SELECT FROM {table})"
    return "\nUNION ALL\n".join(one.format(day=day, table=events_partition(day)) for day in sorted(days))
