"""All SQL of the inspection API: the load ledger and single events, read-only and with deadlines."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from headrace_api.census import LedgerSummary
from headrace_core.errors import Unavailable

__all__ = ["WarehouseReader"]

_TOTALS = """
SELECT count(*) AS files, coalesce(sum(rows_staged), 0)::bigint AS rows,
       coalesce(sum(rows_inserted), 0)::bigint AS inserted, coalesce(sum(rows_present), 0)::bigint AS present,
       coalesce(sum(rows_suppressed), 0)::bigint AS suppressed
FROM ops.load_ledger
"""
_SET_ASIDE = (
    "SELECT coalesce(sum(rows_staged), 0)::bigint AS rows FROM ops.load_error WHERE released_ts IS NULL"
)
_MINUTES = """
SELECT (extract(epoch FROM date_trunc('minute', loaded_ts)) * 1000)::bigint AS minute_ms,
       sum(rows_staged)::bigint AS rows
FROM ops.load_ledger WHERE loaded_ts >= now() - interval '1 day' GROUP BY 1
"""
_LEDGER = """
SELECT file_id, file_key, rows_staged, rows_inserted, rows_present, rows_suppressed, writer,
       (extract(epoch FROM loaded_ts) * 1000)::bigint AS loaded_ms
FROM ops.load_ledger WHERE file_key = ANY(%(keys)s) OR file_id = ANY(%(file_ids)s)
"""
_EVENT = "SELECT to_jsonb(e) AS event FROM analytics.events e WHERE dedup_id = %(dedup_id)s::uuid"


class WarehouseReader:
    """A connection that is opened when first needed and anew after an error. Every statement has a deadline."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.AsyncConnection[dict[str, Any]] | None = None

    async def ledger_summary(self, *, deadline_s: float) -> LedgerSummary:
        """What the ledger adds up to. Unavailable where the warehouse does not answer or has no ledger yet."""
        totals = (await self._rows(_TOTALS, {}, deadline_s))[0]
        aside = (await self._rows(_SET_ASIDE, {}, deadline_s))[0]["rows"]
        minutes = await self._rows(_MINUTES, {}, deadline_s)
        return LedgerSummary(
            **totals, set_aside=aside, by_minute_ms={row["minute_ms"]: row["rows"] for row in minutes}
        )

    async def ledger_rows(
        self, keys: list[str], file_ids: list[int], *, deadline_s: float
    ) -> list[dict[str, Any]]:
        """Ledger rows of staged objects, named by their keys or by the file ids that rows carry."""
        return await self._rows(_LEDGER, {"keys": keys, "file_ids": file_ids}, deadline_s)

    async def event(self, dedup_id_hex: str, *, deadline_s: float) -> dict[str, Any] | None:
        """The hot row of an event as JSON-ready values; None where there is none."""
        rows = await self._rows(_EVENT, {"dedup_id": dedup_id_hex}, deadline_s)
        return rows[0]["event"] if rows else None

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _rows(
        self, sql: LiteralString, values: dict[str, Any], deadline_s: float
    ) -> list[dict[str, Any]]:
        try:
            connection = await self._open(deadline_s)
            cursor = await connection.execute(sql, values)
            return await cursor.fetchall()
        except (psycopg.Error, OSError) as error:
            await self.close()
            raise Unavailable(
                "The warehouse does not answer.",
                why=str(error).strip(),
                fix="Check that it runs, that HEADRACE_WAREHOUSE_DSN is right, and that its migrations were applied.",
                code="warehouse_unavailable",
            ) from error

    async def _open(self, deadline_s: float) -> psycopg.AsyncConnection[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=max(2, int(deadline_s)),
                options=f"-c statement_timeout={int(deadline_s * 1000)} -c default_transaction_read_only=on",
            )
        return self._connection
