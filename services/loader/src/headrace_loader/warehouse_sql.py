"""The load's own statements on PostgreSQL, rendered from the tables of headrace_core. Golden files hold them still.

``stage`` is the worker's stage table. Statements whose names say so work on the rows that it holds; rows that are not
inserted leave it first, so that after insert_absent it is the materialised set of rule L4.
"""

from __future__ import annotations

from datetime import date

from headrace_core.tables import (
    EVENTS,
    EVENTS_MINUTE,
    USER_DAY,
    USER_FIRST_SEEN,
    Table,
    events_partition,
)
from headrace_core.warehouse_sql import OF_BUCKETS, OF_ROWS, of_suppressed, same_dimensions

__all__ = [
    "add_minutes",
    "add_user_days",
    "add_user_first_seen",
    "leave_out",
    "remove_displaced",
    "repeated_in_batch",
    "resum",
    "staged_rows",
    "stored_near",
    "stored_on",
    "take_out_suppressed",
]


def staged_rows(stage: Table) -> str:
    """Rows of the whole stage table by file id."""
    return f"SELECT file_id, count(*) FROM {stage.full_name} GROUP BY 1"


def take_out_suppressed(stage: Table) -> str:
    """Remove the rows of suppressed subjects from the stage table; their file and row number."""
    return f"""\
DELETE FROM {stage.full_name} s
WHERE {of_suppressed("s", stage)}
RETURNING s.file_id, s.row_number"""


def repeated_in_batch(stage: Table) -> str:
    """The copies of every id that the stage table holds more than once."""
    return f"""\
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id, s.row_number
FROM {stage.full_name} s
WHERE s.dedup_id IN (SELECT dedup_id FROM {stage.full_name} GROUP BY dedup_id HAVING count(*) > 1)"""


_STORED = """\
SELECT s.dedup_id::text, s.event_date, s.src_partition, s.src_offset, s.file_id, s.row_number,
       e.event_date, e.src_partition, e.src_offset, e.file_id"""


def stored_near(stage: Table) -> str:
    """Staged rows beside each copy in the events table that is within a day; parameter: the days that hold any row.

    The subquery is not to be flattened (OFFSET 0): so each probe goes to the one partition of its day, by the index.
    """
    return f"""\
{_STORED}
FROM {stage.full_name} s
CROSS JOIN LATERAL (VALUES (s.event_date - 1), (s.event_date), (s.event_date + 1)) n(day)
CROSS JOIN LATERAL (
    SELECT e.event_date, e.src_partition, e.src_offset, e.file_id
    FROM {EVENTS.full_name} e
    WHERE e.dedup_id = s.dedup_id AND e.event_date = n.day
    OFFSET 0
) e
WHERE n.day = ANY(%s::date[])"""


def stored_on(stage: Table, day: date) -> str:
    """As stored_near for the copies of one day, at half the cost: no partition has to be chosen for each row."""
    return f"""\
{_STORED}
FROM {stage.full_name} s
CROSS JOIN LATERAL (
    SELECT e.event_date, e.src_partition, e.src_offset, e.file_id
    FROM {events_partition(day)} e
    WHERE e.dedup_id = s.dedup_id
    OFFSET 0
) e
WHERE s.event_date BETWEEN date '{day}' - 1 AND date '{day}' + 1"""


def leave_out(stage: Table) -> str:
    """Remove rows from the stage table; parameters: file ids and row numbers as parallel arrays."""
    return f"""\
DELETE FROM {stage.full_name} s
USING unnest(%s::bigint[], %s::integer[]) g(file_id, row_number)
WHERE s.file_id = g.file_id AND s.row_number = g.row_number"""


def remove_displaced() -> str:
    """Remove higher copies from the events table; parameters: dedup ids and event dates. What rollups had of them."""
    return f"""\
DELETE FROM {EVENTS.full_name} e
USING unnest(%s::uuid[], %s::date[]) g(dedup_id, event_date)
WHERE e.dedup_id = g.dedup_id AND e.event_date = g.event_date
RETURNING date_trunc('minute', e.event_ts, 'UTC'), e.source, e.event_type, coalesce(e.event_name, ''),
          coalesce(e.currency, ''), e.event_date, e.user_key"""


def _upsert(table: Table, select: str, update: str) -> str:
    return f"""\
INSERT INTO {table.full_name} AS t ({", ".join(table.column_names)})
{select}
ON CONFLICT ({", ".join(table.key)}) DO UPDATE SET
{update}"""


_ADD_BUCKETS = """\
    events = t.events + excluded.events,
    late_events = t.late_events + excluded.late_events,
    revenue_events = t.revenue_events + excluded.revenue_events,
    revenue = t.revenue + excluded.revenue,
    min_event_ts = least(t.min_event_ts, excluded.min_event_ts),
    max_event_ts = greatest(t.max_event_ts, excluded.max_event_ts)"""

_REPLACE_BUCKETS = """\
    events = excluded.events,
    late_events = excluded.late_events,
    revenue_events = excluded.revenue_events,
    revenue = excluded.revenue,
    min_event_ts = excluded.min_event_ts,
    max_event_ts = excluded.max_event_ts"""


def add_minutes(stage: Table) -> str:
    """Add the staged rows to the minute rollup."""
    select = f"SELECT\n{OF_ROWS}\nFROM {stage.full_name} r\nGROUP BY 1, 2, 3, 4, 5"
    return _upsert(EVENTS_MINUTE, select, _ADD_BUCKETS)


def resum(stage: Table, finer: Table, coarser: Table, unit: str) -> str:
    """Sum the buckets of ``coarser`` that the staged rows touched again from all their buckets of ``finer``."""
    select = f"""\
SELECT
{OF_BUCKETS}
FROM (
    SELECT DISTINCT date_trunc('{unit}', r.event_ts, 'UTC') AS bucket_start,
        r.source, r.event_type, coalesce(r.event_name, '') AS event_name, coalesce(r.currency, '') AS currency
    FROM {stage.full_name} r
) f
JOIN {finer.full_name} b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 {unit}'
 AND {same_dimensions("b", "f")}
GROUP BY 1, 2, 3, 4, 5"""
    return _upsert(coarser, select, _REPLACE_BUCKETS)


def add_user_days(stage: Table) -> str:
    """Add the staged rows to user_day, in the order of its key, which its index takes up fastest.

    Rows that name no user count for nobody.
    """
    select = f"""\
SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
FROM {stage.full_name} r
WHERE r.identity_status <> 'unresolved'
GROUP BY 1, 2, 3
ORDER BY r.user_key, r.event_date, r.source"""
    update = """\
    events = t.events + excluded.events,
    min_event_ts = least(t.min_event_ts, excluded.min_event_ts),
    max_event_ts = greatest(t.max_event_ts, excluded.max_event_ts)"""
    return _upsert(USER_DAY, select, update)


def add_user_first_seen(stage: Table) -> str:
    """Bring user_first_seen down to the staged rows' times.

    Users who were seen earlier, which is most of them, are left out by a probe: a conflict would write a row lock.
    """
    select = f"""\
SELECT b.user_key, b.first_event_ts
FROM (
    SELECT r.user_key, min(r.event_ts) AS first_event_ts
    FROM {stage.full_name} r
    WHERE r.identity_status <> 'unresolved'
    GROUP BY 1
) b
LEFT JOIN LATERAL (
    SELECT f.first_event_ts FROM {USER_FIRST_SEEN.full_name} f WHERE f.user_key = b.user_key OFFSET 0
) known ON true
WHERE known.first_event_ts IS NULL OR known.first_event_ts > b.first_event_ts
ORDER BY b.user_key"""
    return _upsert(USER_FIRST_SEEN, select, "    first_event_ts = excluded.first_event_ts")
