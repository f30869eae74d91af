"""Statements of rule B3 on PostgreSQL for tables of which the generation holds the whole day: replaced by difference.

On a day whose rows have expired these are also the rollups and user_day (rule L4). There the truth is what the generation
says, and the rows that came late in files which it does not contain.
"""

from __future__ import annotations

from datetime import date, timedelta

from headrace_core.tables import EVENTS, EVENTS_MINUTE, USER_DAY, Table
from headrace_core.warehouse_sql import OF_ROWS, of_suppressed
from headrace_spark.warehouse_day_sql import CONTAINED

__all__ = [
    "CREATE_USERS",
    "USERS_CHANGED",
    "delete_gone",
    "due",
    "insert_new",
    "late_minutes",
    "late_user_days",
    "note_users",
    "staged",
    "sum_due",
    "take_out_suppressed",
    "update_changed",
]

CREATE_USERS = "CREATE TEMPORARY TABLE day_users (user_key text NOT NULL)"
USERS_CHANGED = "IN (SELECT x.user_key FROM pg_temp.day_users x)"

_MEASURES = """\
sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue), min(b.min_event_ts), max(b.max_event_ts)"""


def staged(table: Table) -> Table:
    """The session's table that takes the generation's rows of ``table``."""
    return Table("pg_temp", f"day_{table.name}", table.columns, table.key)


def due(table: Table) -> Table:
    """The session's table that holds what ``table`` shall hold of an expired day."""
    return Table("pg_temp", f"due_{table.name}", table.columns, table.key)


def take_out_suppressed(table: Table) -> str:
    """Remove suppressed subjects from the staged rows of ``table``: none where it names no subjects."""
    return f"DELETE FROM {staged(table).full_name} s WHERE {of_suppressed('s', table)}"


def _of_the_day(alias: str, table: Table, day: date) -> str:
    if "event_date" in table.column_names:
        return f"{alias}.event_date = date '{day}'"
    next_day = day + timedelta(days=1)
    return f"{alias}.bucket_start >= '{day} 00:00:00+00' AND {alias}.bucket_start < '{next_day} 00:00:00+00'"


def _same(left: str, right: str, table: Table) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in table.key)


def _differ(left: str, right: str, table: Table) -> str:
    values = [name for name in table.column_names if name not in table.key]
    sides = (", ".join(f"{alias}.{name}" for name in values) for alias in (left, right))
    return " IS DISTINCT FROM ".join(f"({side})" for side in sides)


def delete_gone(table: Table, source: Table, day: date) -> str:
    """Delete the day's rows that ``source`` does not have."""
    return f"""\
DELETE FROM {table.full_name} t
WHERE {_of_the_day("t", table, day)}
  AND NOT EXISTS (SELECT FROM {source.full_name} s WHERE {_same("s", "t", table)})"""


def update_changed(table: Table, source: Table, day: date) -> str:
    """Give the day's rows that differ the values of ``source``."""
    values = ", ".join(f"{name} = s.{name}" for name in table.column_names if name not in table.key)
    return f"""\
UPDATE {table.full_name} t
SET {values}
FROM {source.full_name} s
WHERE {_of_the_day("t", table, day)} AND {_same("s", "t", table)}
  AND {_differ("t", "s", table)}"""


def insert_new(table: Table, source: Table) -> str:
    """Insert the rows of ``source`` that the table does not have."""
    names = table.column_names
    return f"""\
INSERT INTO {table.full_name} ({", ".join(names)})
SELECT {", ".join(f"s.{name}" for name in names)}
FROM {source.full_name} s
WHERE NOT EXISTS (SELECT FROM {table.full_name} t WHERE {_same("t", "s", table)})"""


def _late_rows(day: date) -> str:
    return f"""\
{EVENTS.full_name} r
    WHERE r.event_date = date '{day}' AND NOT EXISTS (SELECT FROM {CONTAINED} f WHERE f.file_id = r.file_id)"""


def late_minutes(day: date) -> str:
    """Fill the minutes due: the generation's, and those of late rows."""
    target = due(EVENTS_MINUTE)
    return f"""\
INSERT INTO {target.full_name}
SELECT b.bucket_start, b.source, b.event_type, b.event_name, b.currency, {_MEASURES}
FROM (
    SELECT {", ".join(EVENTS_MINUTE.column_names)} FROM {staged(EVENTS_MINUTE).full_name}
    UNION ALL
    SELECT
{OF_ROWS}
    FROM {_late_rows(day)}
    GROUP BY 1, 2, 3, 4, 5
) b
GROUP BY 1, 2, 3, 4, 5"""


def sum_due(finer: Table, coarser: Table, unit: str) -> str:
    """Fill the coarser buckets due from the finer ones."""
    return f"""\
INSERT INTO {due(coarser).full_name}
SELECT date_trunc('{unit}', b.bucket_start, 'UTC'), b.source, b.event_type, b.event_name, b.currency, {_MEASURES}
FROM {due(finer).full_name} b
GROUP BY 1, 2, 3, 4, 5"""


def late_user_days(day: date) -> str:
    """Fill the user days due: the generation's, and those of late rows."""
    return f"""\
INSERT INTO {due(USER_DAY).full_name}
SELECT b.event_date, b.user_key, b.source, sum(b.events), min(b.min_event_ts), max(b.max_event_ts)
FROM (
    SELECT {", ".join(USER_DAY.column_names)} FROM {staged(USER_DAY).full_name}
    UNION ALL
    SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
    FROM {_late_rows(day)} AND r.identity_status <> 'unresolved'
    GROUP BY 1, 2, 3
) b
GROUP BY 1, 2, 3"""


def note_users(day: date) -> str:
    """Note whose user day is about to change; their first-seen times follow."""
    return f"""\
INSERT INTO pg_temp.day_users
SELECT DISTINCT coalesce(t.user_key, d.user_key)
FROM {due(USER_DAY).full_name} d
FULL JOIN (SELECT * FROM {USER_DAY.full_name} u WHERE {_of_the_day("u", USER_DAY, day)}) t
  ON t.user_key = d.user_key AND t.event_date = d.event_date AND t.source = d.source
WHERE t.user_key IS NULL OR d.user_key IS NULL OR {_differ("t", "d", USER_DAY)}"""
