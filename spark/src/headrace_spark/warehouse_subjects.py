"""What an erasure does in PostgreSQL: suppress, and delete what there is (rules E1, E2); and the requests themselves."""

from __future__ import annotations

from collections.abc import Mapping

from headrace_core.errors import UsageError
from headrace_core.tables import (
    CUSTOMER_ALIASES,
    CUSTOMERS,
    DAY_GENERATION,
    ERASURE_REQUESTS,
    EVENTS,
    LOAD_LOCK_EVENTS,
    SESSIONS,
    SUPPRESSED_SUBJECTS,
    USER_DAY,
    USER_FIRST_SEEN,
    Table,
)
from headrace_core.warehouse_sql import (
    COARSER,
    LOCK,
    of_suppressed,
    recompute_minutes,
    recompute_user_days,
    recompute_user_first_seen,
    resum_given,
)
from headrace_runtime.warehouse import CommitUnknown, PostgresConnection
from headrace_spark import warehouse_day_sql as sql
from headrace_spark.ports import Suppressions

__all__ = ["PostgresSubjects"]

_OF_SUBJECTS = (SESSIONS, USER_DAY, USER_FIRST_SEEN, CUSTOMERS, CUSTOMER_ALIASES)
"""Tables beside events with a row, or a row a day, for a person."""

_SUPPRESS = f"""\
INSERT INTO {SUPPRESSED_SUBJECTS.full_name} (kind, value, suppressed_ts)
SELECT s.kind, s.value, now() FROM unnest(%s::text[], %s::text[]) AS s(kind, value)
ON CONFLICT DO NOTHING"""

_FORGET_EXPIRED = f"""\
DELETE FROM pg_temp.day_touched
WHERE event_date IN (SELECT g.event_date FROM {DAY_GENERATION.full_name} g WHERE g.expired_ts IS NOT NULL)"""
"""Rollups of an expired day follow its generation, never its rows."""

_SUBJECTS_OF = f"SELECT subject_kind, subject_value FROM {ERASURE_REQUESTS.full_name} WHERE id = %s"
_CLOSE = f"""\
UPDATE {ERASURE_REQUESTS.full_name} SET state = 'closed', evidence_key = %s, closed_ts = now()
WHERE id = %s AND state <> 'closed'"""


class PostgresSubjects:
    """`headrace_spark.ports.WarehouseSubjects` on PostgreSQL. Each call has a connection of its own; all raise Unavailable."""

    def __init__(self, dsn: str, *, statement_timeout_s: float = 900.0) -> None:
        self._dsn = dsn
        self._statement_timeout_s = statement_timeout_s

    async def request(self, request: str) -> Suppressions:
        """Whom a request names, by its id; UsageError where there is none."""
        connection = await self._connect()
        try:
            found = await connection.execute(_SUBJECTS_OF, [request])
        finally:
            await connection.close()
        if not found:
            raise UsageError(
                f"There is no erasure request {request!r}.",
                why=f"{ERASURE_REQUESTS.full_name} has no row of this id.",
                fix="Insert a row per subject that the request names: id, subject_kind, subject_value, requested_ts, 'open'.",
                code="erasure_unknown",
            )
        kinds = ("user", "anonymous", "customer")
        return Suppressions(*(frozenset(row[1] for row in found if row[0] == kind) for kind in kinds))

    async def close(self, request: str, evidence_key: str) -> None:
        """Note that the evidence of a request is closed."""
        connection = await self._connect()
        try:
            await connection.execute(_CLOSE, [evidence_key, request])
        finally:
            await connection.close()

    async def suppress(self, subjects: Suppressions) -> None:
        """See `headrace_spark.ports.WarehouseSubjects`."""
        pairs = [*(("user", value) for value in subjects.users)]
        pairs += [("anonymous", value) for value in subjects.anonymous]
        pairs += [("customer", value) for value in subjects.customers]
        connection = await self._connect()
        try:
            await connection.execute(_SUPPRESS, [[kind for kind, _ in pairs], [value for _, value in pairs]])
        finally:
            await connection.close()

    async def count(self) -> Mapping[str, int]:
        """Rows of suppressed subjects by table, as `delete` counts them."""
        connection = await self._connect()
        try:
            found = [
                (table.name, await connection.execute(_count_of(table))) for table in (EVENTS, *_OF_SUBJECTS)
            ]
        finally:
            await connection.close()
        return {name: int(rows[0][0]) for name, rows in found}

    async def delete(self, subjects: Suppressions) -> Mapping[str, int]:
        """See `headrace_spark.ports.WarehouseSubjects`. The rows are those of every suppressed subject: ``subjects`` are
        among them. A COMMIT without a reply is repeated: what is deleted stays so."""
        try:
            return await self._delete()
        except CommitUnknown:
            return await self._delete()

    async def _delete(self) -> Mapping[str, int]:
        connection = await self._connect()
        try:
            for statement in sql.CREATE:
                await connection.execute(statement)
            await connection.begin()
            try:
                deleted = await _delete_rows(connection)
            except BaseException:
                await connection.rollback()
                raise
            await connection.commit()
        finally:
            await connection.close()
        return deleted

    async def _connect(self) -> PostgresConnection:
        return await PostgresConnection.connect(
            self._dsn, application_name="headrace-erase", statement_timeout_s=self._statement_timeout_s
        )


async def _delete_rows(connection: PostgresConnection) -> dict[str, int]:
    await connection.execute(LOCK, [LOAD_LOCK_EVENTS])
    deleted = {EVENTS.name: await connection.count(sql.DELETE_SUPPRESSED)}
    for table in _OF_SUBJECTS:  # before what follows, which would take user days along and not count them
        deleted[table.name] = await connection.count(_delete_of(table))
    if deleted[EVENTS.name]:
        for statement in _following():
            await connection.execute(statement)
    return deleted


def _following() -> list[str]:
    """Ledger, rollups and user days up to the rows that went (rule L4)."""
    statements = ["ANALYZE pg_temp.day_touched", sql.MOVE_IN_LEDGER, _FORGET_EXPIRED]
    statements += recompute_minutes(sql.BUCKETS_TOUCHED)
    for finer, coarser, unit in COARSER:
        statements += resum_given(finer, coarser, unit, sql.buckets_touched(unit))
    statements += recompute_user_days(sql.USER_DAYS_TOUCHED)
    return statements + recompute_user_first_seen(sql.USERS_TOUCHED)


def _count_of(table: Table) -> str:
    return f"SELECT count(*) FROM {table.full_name} t WHERE {of_suppressed('t', table)}"


def _delete_of(table: Table) -> str:
    return f"DELETE FROM {table.full_name} t WHERE {of_suppressed('t', table)}"
