"""What the warehouse must hold after real files were replayed, computed with plain Python: nothing of the project is imported."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

__all__ = ["ExpectedRow", "online_retail_rows", "sparkify_rows"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONDON = ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class ExpectedRow:
    """The columns of one event that the file decides. ``event_id`` is None where Headrace derives it."""

    source: str
    event_id: str | None
    id_source: str
    event_name: str
    event_ts: datetime
    ts_quality: str
    original_timestamp: str
    user_id: str | None
    session_id: str | None
    identity_status: str
    properties: str
    """JSON with sorted keys."""


def _canonical(properties: dict[str, Any]) -> str:
    return json.dumps(properties, sort_keys=True)


def online_retail_rows(name: str, text: str) -> list[tuple[dict[str, Any], ExpectedRow]]:
    """(row as sent, row expected) of every invoice line; ids are file name and row number."""
    rows = []
    for number, cells in enumerate(csv.DictReader(io.StringIO(text)), 1):
        local = datetime.strptime(cells["InvoiceDate"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=_LONDON)
        customer = cells["CustomerID"].removesuffix(".0") or None
        kept = ("InvoiceNo", "StockCode", "Description", "Quantity", "UnitPrice", "Country")
        expected = ExpectedRow(
            source="online-retail",
            event_id=f"{name}#{number}",
            id_source="client",
            event_name="Invoice Line",
            event_ts=local.astimezone(UTC),
            ts_quality="zone_assumed",
            original_timestamp=cells["InvoiceDate"],
            user_id=customer,
            session_id=None,
            identity_status="resolved" if customer else "unresolved",
            properties=_canonical({field: cells[field] for field in kept}),
        )
        rows.append(({"_file": name, "_row": number, **cells}, expected))
    return rows


def sparkify_rows(text: str) -> list[tuple[dict[str, Any], ExpectedRow]]:
    """(row as sent, row expected) of every log line; ids are derived."""
    rows = []
    for line in text.splitlines():
        row = json.loads(line)
        used = ("page", "userId", "sessionId", "ts")
        expected = ExpectedRow(
            source="sparkify",
            event_id=None,
            id_source="derived",
            event_name=row["page"],
            event_ts=_EPOCH + timedelta(milliseconds=row["ts"]),
            ts_quality="exact",
            original_timestamp=str(row["ts"]),
            user_id=row["userId"] or None,
            session_id=str(row["sessionId"]),
            identity_status="resolved" if row["userId"] else "unresolved",
            properties=_canonical({field: value for field, value in row.items() if field not in used}),
        )
        rows.append((row, expected))
    return rows
