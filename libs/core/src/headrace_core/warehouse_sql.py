"""Statements on PostgreSQL that every writer of the warehouse needs, rendered from `headrace_core.tables`.

The writer's lock, the DDL lock, which days are expired, and rule L4: rollups made anew where rows were deleted or
replaced. The load's own statements are in headrace_loader, those of the batch jobs in headrace_spark.
"""

from __future__ import annotations

from headrace_core.tables import (
    DAY_GENERATION,
    EVENTS,
    EVENTS_DAY,
    EVENTS_HOUR,
    EVENTS_MINUTE,
    LOAD_LOCK,
    ROLLUP_DIMENSIONS,
    SUPPRESSED_SUBJECTS,
    USER_DAY,
    USER_FIRST_SEEN,
    Table,
)

__all__ = [
    "BUCKETS_GIVEN",
    "COARSER",
    "DDL_LOCK",
    "EXPIRED_DAYS",
    "LOCK",
    "MISSING_TABLES",
    "OF_BUCKETS",
    "OF_ROWS",
    "USERS_GIVEN",
    "copy_into",
    "of_suppressed",
    "recompute_minutes",
    "recompute_user_days",
    "recompute_user_first_seen",
    "resum_given",
    "same_dimensions",
]

LOCK = f"SELECT name FROM {LOAD_LOCK.full_name} WHERE name = %s FOR UPDATE"

DDL_LOCK = 0x6864_7270
"""Advisory lock under which partitions and stage tables are made, so that two writers do not make one twice."""

COARSER = ((EVENTS_MINUTE, EVENTS_HOUR, "hour"), (EVENTS_HOUR, EVENTS_DAY, "day"))
"""Each coarser rollup with what it is summed from: hours from minutes, days from hours, never from rows."""

EXPIRED_DAYS = (
    f"SELECT event_date FROM {DAY_GENERATION.full_name} WHERE expired_ts IS NOT NULL AND event_date = ANY(%s)"
)


# Read from the catalogue's rows: a look-up by name may answer from a cache that is older than the lock just waited for.
MISSING_TABLES = """\
SELECT w.name FROM unnest(%s::text[]) w(name)
WHERE NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = split_part(w.name, '.', 1) AND c.relname = split_part(w.name, '.', 2)
)"""


_SUBJECT_COLUMNS = {"user": "user_id", "anonymous": "anonymous_id", "customer": "customer_id"}
_USER_KEYS = (
    "SELECT CASE x.kind WHEN 'user' THEN 'u:' ELSE 'a:' END || x.value"
    f" FROM {SUPPRESSED_SUBJECTS.full_name} x WHERE x.kind IN ('user', 'anonymous')"
)

OF_ROWS = """\
    {minute} AS bucket_start,
    r.source, r.event_type, coalesce(r.event_name, '') AS event_name, coalesce(r.currency, '') AS currency,
    count(*) AS events,
    count(*) FILTER (WHERE r.is_late) AS late_events,
    count(r.revenue) AS revenue_events,
    coalesce(sum(r.revenue), 0) AS revenue,
    min(r.event_ts) AS min_event_ts,
    max(r.event_ts) AS max_event_ts""".format(minute="date_trunc('minute', r.event_ts, 'UTC')")
"""A minute bucket of rows ``r``, grouped by its first five columns."""

OF_BUCKETS = """\
    f.bucket_start, f.source, f.event_type, f.event_name, f.currency,
    sum(b.events), sum(b.late_events), sum(b.revenue_events), sum(b.revenue),
    min(b.min_event_ts), max(b.max_event_ts)"""
"""The bucket ``f`` as the sum of finer buckets ``b``, grouped by its first five columns."""


def copy_into(table: Table) -> str:
    """COPY of all columns of a table in their order."""
    return f"COPY {table.full_name} ({', '.join(table.column_names)}) FROM STDIN (FORMAT binary)"


def of_suppressed(alias: str, table: Table) -> str:
    """Condition that a row of ``table`` is a suppressed subject's, by whichever columns it has."""
    subjects = f"(SELECT x.kind, x.value FROM {SUPPRESSED_SUBJECTS.full_name} x)"
    named = [
        f"('{kind}', {alias}.{column}) IN {subjects}"
        for kind, column in _SUBJECT_COLUMNS.items()
        if column in table.column_names
    ]
    # Where the ids themselves are no columns, the user key is made of them.
    if "user_id" not in table.column_names and "user_key" in table.column_names:
        named.append(f"{alias}.user_key IN ({_USER_KEYS})")
    return "\n   OR ".join(named) or "false"


def same_dimensions(left: str, right: str) -> str:
    """Condition that two buckets have the same dimensions."""
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in ROLLUP_DIMENSIONS)


BUCKETS_GIVEN = (
    "SELECT DISTINCT * FROM unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[])"
    f" AS g(bucket_start, {', '.join(ROLLUP_DIMENSIONS)})"
)
"""Buckets as parallel arrays: starts and dimensions."""


def _drop_buckets(table: Table, given: str) -> str:
    return f"""\
DELETE FROM {table.full_name} t
USING ({given}) f
WHERE t.bucket_start = f.bucket_start AND {same_dimensions("t", "f")}"""


def recompute_minutes(given: str = BUCKETS_GIVEN, rows: str = EVENTS.full_name) -> list[str]:
    """Make the buckets of the query ``given`` anew from ``rows``, which hold every row of their days.

    Each of the statements takes the parameters of ``given``. The minute stands twice in the join: as an equality, by which
    many buckets are hashed, and as a range, by which the index of event times finds few.
    """
    insert = f"""\
INSERT INTO {EVENTS_MINUTE.full_name} ({", ".join(EVENTS_MINUTE.column_names)})
SELECT
{OF_ROWS}
FROM {rows} r
JOIN ({given}) f
  ON r.event_date = (f.bucket_start AT TIME ZONE 'UTC')::date
 AND date_trunc('minute', r.event_ts, 'UTC') = f.bucket_start
 AND r.event_ts >= f.bucket_start AND r.event_ts < f.bucket_start + interval '1 minute'
 AND r.source = f.source AND r.event_type = f.event_type
 AND coalesce(r.event_name, '') = f.event_name AND coalesce(r.currency, '') = f.currency
GROUP BY 1, 2, 3, 4, 5"""
    return [_drop_buckets(EVENTS_MINUTE, given), insert]


def resum_given(finer: Table, coarser: Table, unit: str, given: str = BUCKETS_GIVEN) -> list[str]:
    """Sum the buckets of ``coarser`` that ``given`` names anew, or drop them where nothing is left of them."""
    insert = f"""\
INSERT INTO {coarser.full_name} ({", ".join(coarser.column_names)})
SELECT
{OF_BUCKETS}
FROM ({given}) f
JOIN {finer.full_name} b
  ON b.bucket_start >= f.bucket_start AND b.bucket_start < f.bucket_start + interval '1 {unit}'
 AND {same_dimensions("b", "f")}
GROUP BY 1, 2, 3, 4, 5"""
    return [_drop_buckets(coarser, given), insert]


USERS_GIVEN = (
    "SELECT DISTINCT * FROM unnest(%s::date[], %s::text[], %s::text[]) AS g(event_date, user_key, source)"
)
"""User days as parallel arrays: event dates, user keys and sources."""


def recompute_user_days(given: str = USERS_GIVEN, rows: str = EVENTS.full_name) -> list[str]:
    """Make the user days of the query ``given`` anew from ``rows``, as recompute_minutes does."""
    delete = f"""\
DELETE FROM {USER_DAY.full_name} t
USING ({given}) f
WHERE t.event_date = f.event_date AND t.user_key = f.user_key AND t.source = f.source"""
    insert = f"""\
INSERT INTO {USER_DAY.full_name} ({", ".join(USER_DAY.column_names)})
SELECT r.event_date, r.user_key, r.source, count(*), min(r.event_ts), max(r.event_ts)
FROM {rows} r
JOIN ({given}) f
  ON r.event_date = f.event_date AND r.user_key = f.user_key AND r.source = f.source
WHERE r.identity_status <> 'unresolved'
GROUP BY 1, 2, 3"""
    return [delete, insert]


def recompute_user_first_seen(among: str = "= ANY(%s)") -> list[str]:
    """Make the first-seen times of the user keys that ``among`` admits anew from user_day."""
    delete = f"DELETE FROM {USER_FIRST_SEEN.full_name} WHERE user_key {among}"
    insert = f"""\
INSERT INTO {USER_FIRST_SEEN.full_name} ({", ".join(USER_FIRST_SEEN.column_names)})
SELECT user_key, min(min_event_ts) FROM {USER_DAY.full_name} WHERE user_key {among} GROUP BY 1"""
    return [delete, insert]
