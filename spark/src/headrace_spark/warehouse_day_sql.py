"""Statements of rule B3 on PostgreSQL: the difference between a day's generation and its rows in the warehouse.

Everything that a job keeps meanwhile is a temporary table of its own session, named by the constants below: no two jobs
can meet in one, and the server drops them however the session ends.

`STAGE` holds the generation's rows. `PAIRS` gives each id of the stage, or of a row whose file the generation contains,
what is to be done about it, and as ``seen`` the transaction that had written the row when it was compared: a row that
carries another one under the lock is compared again. `TOUCHED` collects what rollups and ledger have to follow.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from headrace_core.tables import DAY_GENERATION, EVENTS, LOAD_LEDGER, SUPPRESSED_SUBJECTS, Table, TableColumn
from headrace_core.warehouse_sql import of_suppressed

__all__ = [
    "BUCKETS_TOUCHED",
    "CONTAINED",
    "COUNT_ACTIONS",
    "CREATE",
    "DAY_STATE",
    "DELETE_SUPPRESSED",
    "FORGET_STALE",
    "INSERT_CANDIDATES",
    "KEEP_CONTAINED",
    "KEEP_SUBJECTS",
    "LEAVE_OUT",
    "MOVE_IN_LEDGER",
    "NEW_SUBJECTS",
    "NOTE_CANDIDATES",
    "NOTE_INSERTED",
    "REMOVE_DISPLACED",
    "REPEATED",
    "STAGE",
    "STORE_SEQUENCE",
    "TAKE_OUT_SUPPRESSED",
    "USERS_TOUCHED",
    "USER_DAYS_TOUCHED",
    "buckets_touched",
    "change_rows",
    "compare",
    "contested",
    "mark_stale",
    "note_changes",
    "remove_rows",
    "rows_around",
]

STAGE = Table(
    "pg_temp",
    "day_events",
    tuple(column for column in EVENTS.columns if column.name != "loaded_ts"),
    key=("dedup_id",),
)
"""The generation's rows, with all columns of the events table but the load time."""

CONTAINED, _SUBJECTS, _PAIRS, _STALE, _CANDIDATES, _TOUCHED = (
    f"pg_temp.day_{name}" for name in ("files", "subjects", "pairs", "stale", "candidates", "touched")
)

CREATE = (
    "CREATE TEMPORARY TABLE day_files (file_id bigint PRIMARY KEY)",
    "CREATE TEMPORARY TABLE day_subjects (kind text NOT NULL, value text NOT NULL)",
    "CREATE TEMPORARY TABLE day_pairs (dedup_id uuid NOT NULL, seen xid, action text NOT NULL, touches boolean)",
    "CREATE TEMPORARY TABLE day_stale (dedup_id uuid NOT NULL)",
    "CREATE TEMPORARY TABLE day_candidates (dedup_id uuid NOT NULL)",
    """\
CREATE TEMPORARY TABLE day_touched (
    bucket_start timestamptz, source text, event_type text, event_name text, currency text,
    event_date date, user_key text, file_id bigint, moved integer, suppressed boolean
)""",
)
"""The session's tables beside the stage tables."""

DAY_STATE = f"""\
SELECT g.sequence, g.expired_ts IS NOT NULL FROM {DAY_GENERATION.full_name} g WHERE g.event_date = %s"""

STORE_SEQUENCE = f"""\
INSERT INTO {DAY_GENERATION.full_name} AS t (event_date, sequence) VALUES (%s, %s)
ON CONFLICT (event_date) DO UPDATE SET sequence = excluded.sequence"""

KEEP_CONTAINED = f"INSERT INTO {CONTAINED} SELECT DISTINCT f.file_id FROM unnest(%s::bigint[]) f(file_id)"

KEEP_SUBJECTS = f"INSERT INTO {_SUBJECTS} SELECT x.kind, x.value FROM {SUPPRESSED_SUBJECTS.full_name} x"

NEW_SUBJECTS = f"""\
SELECT EXISTS (
    SELECT x.kind, x.value FROM {SUPPRESSED_SUBJECTS.full_name} x EXCEPT SELECT s.kind, s.value FROM {_SUBJECTS} s
)"""

TAKE_OUT_SUPPRESSED = f"""\
WITH gone AS (
DELETE FROM {STAGE.full_name} s
WHERE {of_suppressed("s", STAGE)}
RETURNING s.dedup_id
)
INSERT INTO {_STALE} SELECT dedup_id FROM gone"""
"""Rows of suppressed subjects leave the generation; what was decided about their ids no longer holds."""

FORGET_STALE = f"DELETE FROM {_PAIRS} WHERE dedup_id IN (SELECT x.dedup_id FROM {_STALE} x)"

REPEATED = f"SELECT s.dedup_id::text FROM {STAGE.full_name} s GROUP BY 1 HAVING count(*) > 1 LIMIT 1"

COUNT_ACTIONS = f"SELECT action, count(*) FROM {_PAIRS} GROUP BY 1"

NOTE_CANDIDATES = f"INSERT INTO {_CANDIDATES} SELECT dedup_id FROM {_PAIRS} WHERE action = 'put'"

LEAVE_OUT = f"DELETE FROM {_CANDIDATES} WHERE dedup_id = ANY(%s::uuid[])"

BUCKETS_TOUCHED = f"SELECT DISTINCT bucket_start, source, event_type, event_name, currency FROM {_TOUCHED}"
USER_DAYS_TOUCHED = f"SELECT DISTINCT event_date, user_key, source FROM {_TOUCHED}"
USERS_TOUCHED = f"IN (SELECT user_key FROM {_TOUCHED})"

_FOLLOWED = (
    "file_id",
    "event_ts",
    "source",
    "event_type",
    "event_name",
    "currency",
    "is_late",
    "revenue",
    "user_key",
    "identity_status",
)
"""Columns from which rollups, user days and the ledger are made: a change of the others touches none of them."""


def _comparable(alias: str, column: TableColumn) -> str:
    """JSON has no equality of its own, and is kept byte for byte: it is compared as text."""
    return f"{alias}.{column.name}::text" if column.kind == "json" else f"{alias}.{column.name}"


def _differ(names: Collection[str], left: str, right: str) -> str:
    columns = [column for column in STAGE.columns if column.name in names]
    sides = (", ".join(_comparable(alias, column) for column in columns) for alias in (left, right))
    return " IS DISTINCT FROM ".join(f"({side})" for side in sides)


def _of_the_day(day: date) -> str:
    """Rows ``e`` of the day whose file the generation contains."""
    return f"e.event_date = date '{day}' AND e.file_id IN (SELECT f.file_id FROM {CONTAINED} f)"


def compare(day: date, *, stale: bool = False) -> str:
    """Fill the pairs from the generation and the warehouse; with ``stale`` only those of the stale ids."""
    among = f" IN (SELECT x.dedup_id FROM {_STALE} x)"
    staged = f"SELECT * FROM {STAGE.full_name} s" + (f" WHERE s.dedup_id{among}" if stale else "")
    stored = f"SELECT e.*, e.xmin AS seen FROM {EVENTS.full_name} e WHERE {_of_the_day(day)}"
    return f"""\
INSERT INTO {_PAIRS} (dedup_id, seen, action, touches)
SELECT coalesce(s.dedup_id, e.dedup_id), e.seen,
    CASE
        WHEN e.dedup_id IS NULL THEN 'put'
        WHEN s.dedup_id IS NULL THEN 'remove'
        WHEN {_differ(STAGE.column_names, "s", "e")} THEN 'change'
        ELSE 'same'
    END,
    {_differ(_FOLLOWED, "s", "e")}
FROM ({staged}) s
FULL JOIN ({stored}{f" AND e.dedup_id{among}" if stale else ""}) e ON e.dedup_id = s.dedup_id"""


def mark_stale(day: date) -> str:
    """Mark the ids whose row was written, or went away, since the pairs were made. Reads keys only."""
    return f"""\
INSERT INTO {_STALE}
SELECT coalesce(p.dedup_id, e.dedup_id)
FROM {_PAIRS} p
FULL JOIN (
    SELECT e.dedup_id, e.xmin AS seen FROM {EVENTS.full_name} e WHERE {_of_the_day(day)}
) e ON e.dedup_id = p.dedup_id
WHERE p.seen IS DISTINCT FROM e.seen"""


def _touch(alias: str, moved: int, suppressed: str = "false") -> str:
    """What TOUCHED keeps of a row that comes (1) or goes (-1)."""
    return f"""\
date_trunc('minute', {alias}.event_ts, 'UTC') AS bucket_start, {alias}.source, {alias}.event_type,
    coalesce({alias}.event_name, '') AS event_name, coalesce({alias}.currency, '') AS currency,
    {alias}.event_date, {alias}.user_key, {alias}.file_id, {moved} AS moved, {suppressed} AS suppressed"""


def remove_rows(day: date) -> str:
    """Delete the rows that the generation does not have; as many rows are touched."""
    suppressed = f"coalesce(({of_suppressed('e', EVENTS)}), false)"
    return f"""\
WITH gone AS (
DELETE FROM {EVENTS.full_name} e
USING {_PAIRS} p
WHERE p.action = 'remove' AND e.event_date = date '{day}' AND e.dedup_id = p.dedup_id
RETURNING {_touch("e", -1, suppressed)}
)
INSERT INTO {_TOUCHED} SELECT * FROM gone"""


def note_changes(day: date) -> str:
    """Note what rows that are about to change leave and enter, where rollups or the ledger see a difference."""
    return f"""\
INSERT INTO {_TOUCHED}
SELECT {_touch("e", -1)}
FROM {_PAIRS} p
JOIN {EVENTS.full_name} e ON e.event_date = date '{day}' AND e.dedup_id = p.dedup_id
WHERE p.action = 'change' AND p.touches
UNION ALL
SELECT {_touch("s", 1)}
FROM {_PAIRS} p
JOIN {STAGE.full_name} s ON s.dedup_id = p.dedup_id
WHERE p.action = 'change' AND p.touches"""


def change_rows(day: date) -> str:
    """Give the rows that differ the generation's values."""
    kept = ("dedup_id", "event_date")
    values = ", ".join(f"{name} = s.{name}" for name in STAGE.column_names if name not in kept)
    return f"""\
UPDATE {EVENTS.full_name} e
SET {values}, loaded_ts = now()
FROM {_PAIRS} p
JOIN {STAGE.full_name} s ON s.dedup_id = p.dedup_id
WHERE p.action = 'change' AND e.event_date = date '{day}' AND e.dedup_id = p.dedup_id"""


def contested(day: date) -> str:
    """Candidates beside each copy of their id that the warehouse holds within a day."""
    return f"""\
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id,
       e.event_date, e.src_partition, e.src_offset, e.file_id
FROM {_CANDIDATES} c
JOIN {STAGE.full_name} s ON s.dedup_id = c.dedup_id
JOIN {EVENTS.full_name} e ON e.dedup_id = c.dedup_id
WHERE e.event_date BETWEEN date '{day - timedelta(days=1)}' AND date '{day + timedelta(days=1)}'"""


REMOVE_DISPLACED = f"""\
WITH gone AS (
DELETE FROM {EVENTS.full_name} e
USING unnest(%s::uuid[], %s::date[]) g(dedup_id, event_date)
WHERE e.dedup_id = g.dedup_id AND e.event_date = g.event_date
RETURNING {_touch("e", -1)}
)
INSERT INTO {_TOUCHED} SELECT * FROM gone"""
"""Delete higher copies (rule L2); parameters: dedup ids and event dates. As many rows are touched."""

INSERT_CANDIDATES = f"""\
INSERT INTO {EVENTS.full_name} ({", ".join(STAGE.column_names)}, loaded_ts)
SELECT {", ".join(f"s.{name}" for name in STAGE.column_names)}, now()
FROM {_CANDIDATES} c
JOIN {STAGE.full_name} s ON s.dedup_id = c.dedup_id"""
"""Insert the candidates that are left."""

DELETE_SUPPRESSED = f"""\
WITH gone AS (
DELETE FROM {EVENTS.full_name} e
WHERE {of_suppressed("e", EVENTS)}
RETURNING {_touch("e", -1, "true")}
)
INSERT INTO {_TOUCHED} SELECT * FROM gone"""
"""Delete the rows of suppressed subjects of all days. As many rows are touched."""

NOTE_INSERTED = f"""\
INSERT INTO {_TOUCHED}
SELECT {_touch("s", 1)}
FROM {_CANDIDATES} c
JOIN {STAGE.full_name} s ON s.dedup_id = c.dedup_id"""
"""Note what the inserted rows touch."""

MOVE_IN_LEDGER = f"""\
UPDATE {LOAD_LEDGER.full_name} t
SET rows_inserted = t.rows_inserted - g.suppressed + g.moved,
    rows_present = t.rows_present - g.moved,
    rows_suppressed = t.rows_suppressed + g.suppressed
FROM (
    SELECT l.file_id, a.suppressed, greatest(least(m.moved, l.rows_present), a.suppressed - l.rows_inserted) AS moved
    FROM (
        SELECT file_id, coalesce(sum(moved) FILTER (WHERE NOT suppressed), 0) AS moved, count(*) FILTER (WHERE suppressed) AS suppressed
        FROM {_TOUCHED} GROUP BY 1
    ) m
    JOIN {LOAD_LEDGER.full_name} l ON l.file_id = m.file_id
    CROSS JOIN LATERAL (SELECT least(m.suppressed, l.rows_inserted) AS suppressed) a
) g
WHERE t.file_id = g.file_id AND (g.moved <> 0 OR g.suppressed <> 0)"""
"""Keep each loaded file's counts true: a row that goes is present elsewhere or suppressed, one that comes is inserted.

Never past what the file has: rows of a file that the loader has not loaded yet are counted when it does.
"""


def buckets_touched(unit: str) -> str:
    """The touched buckets of a coarser rollup."""
    return f"""\
SELECT DISTINCT date_trunc('{unit}', bucket_start, 'UTC') AS bucket_start, source, event_type, event_name, currency
FROM {_TOUCHED}"""


def rows_around(day: date) -> str:
    """The events of the days that an application can touch, for rollups that are made anew."""
    first, last = day - timedelta(days=1), day + timedelta(days=1)
    return f"(SELECT * FROM {EVENTS.full_name} WHERE event_date BETWEEN date '{first}' AND date '{last}')"
